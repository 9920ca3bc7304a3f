"""Robust: inputs that real callers send sooner or later, and what must hold then.

Data flow: rows that work -> variants with something missing, extreme or of the wrong type, one at a time -> an
answer, or a refusal with a 4xx; anything else is a fault. Then the rows in another order and alone: the same answers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inferry.errors import InvalidInput, ModelFailed
from inferry.gates.rows import read_rows
from inferry.gates.subject import Subject, words_of
from inferry.policy.gates import differs
from inferry.types.gates import Robustness, Trouble
from inferry.types.trials import Finding

BASE_ROWS = 8
MAX_FIELDS = 40
NUMBERS = (0, -1, 1e308, -1e308, 1e-308, 2**53 + 1, -(2**31))
TEXTS = ("", " ", "x" * 10_000, "never seen before", "\u0000", "\U0001f427 \u202e")
ODD_FOR_NUMBERS: tuple[Any, ...] = ("a text", [1, 2], {"a": 1}, "")
ODD_FOR_TEXTS: tuple[Any, ...] = (3.5, [1], {"a": 1}, True)
ODD_BODIES: tuple[Any, ...] = ("a text", 3, None, [], {}, [[]], [None], {"no such input": 1}, [{}], True)
TOLERANCE = 1e-4
RECOVER_S = 20.0

Case = tuple[str, Any]


def robustness(gate: Robustness, subject: Subject) -> list[Finding]:
    """All that is asked for, one Finding a kind of trouble."""
    rows = base_rows(gate, subject)
    good = subject.predict(rows)
    empty = has_gap(good)
    found = []
    for trouble in gate.checks:
        if trouble == "order":
            found.append(_order(subject, rows, good))
            continue
        faults = list(_faults(subject, cases(trouble, rows), may_have_gaps=gate.allow_nan or empty))
        found.append(_told(trouble, faults, len(list(cases(trouble, rows)))))
        again = differs(_once_more(subject, rows), good, TOLERANCE)
        if again:
            found.append(
                Finding(what=f"after {trouble}", verdict="failed", words=f"afterwards it answers other: {again}")
            )
    return found


def _once_more(subject: Subject, rows: list[Any]) -> list[Any]:
    """The good rows again, when what died meanwhile has been replaced. Raises ModelFailed."""
    give_up = time.monotonic() + RECOVER_S
    while True:
        try:
            return subject.predict(rows)
        except ModelFailed:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)


def base_rows(gate: Robustness, subject: Subject) -> list[Any]:
    """Rows that work: of the gate's file, or the model's example. Raises InvalidInput without any."""
    if gate.data:
        rows = read_rows(Path(gate.data))
        features = [name for name in rows.names if name not in gate.ignore]
        body = subject.body(rows, rows.records[:BASE_ROWS], features)
        return list(body)
    example = subject.example
    if example is None:
        raise InvalidInput(f"No example of {subject.name} is known.", help="Give data: a file with rows that work.")
    return as_rows(example)[:BASE_ROWS]


def as_rows(example: Any) -> list[Any]:
    """A body as a list of rows."""
    if isinstance(example, dict) and len(example) == 1 and next(iter(example)) in ("inputs", "instances"):
        example = next(iter(example.values()))
    if isinstance(example, dict):
        columns = list(example.values())
        if all(isinstance(column, list) for column in columns) and len({len(column) for column in columns}) == 1:
            return [dict(zip(example, cells, strict=True)) for cells in zip(*columns, strict=True)]
        return [example]
    return example if isinstance(example, list) and example else [example]


def cases(trouble: Trouble, rows: list[Any]) -> Iterator[Case]:
    """Variants of the first row: in words, and the body."""
    first = rows[0]
    if trouble == "types":
        yield from ((f"the body {body!r:.40}", body) for body in ODD_BODIES)
    if isinstance(first, dict):
        for name in list(first)[:MAX_FIELDS]:
            if trouble == "missing":
                yield f"without {name}", [{key: value for key, value in first.items() if key != name}]
            yield from ((f"{name} {value!r:.40}", [{**first, name: value}]) for value in _values(trouble, first[name]))
    elif isinstance(first, list) and first:
        if trouble == "missing":
            yield "a row that is one short", [first[:-1]]
        for place in sorted({0, len(first) // 2, len(first) - 1}):
            for value in _values(trouble, _leaf(first[place])):
                yield (
                    f"cell {place} {value!r:.40}",
                    [[*first[:place], _replaced(first[place], value), *first[place + 1 :]]],
                )
    else:
        yield from ((f"{value!r:.40}", [value]) for value in _values(trouble, first))


def _values(trouble: Trouble, value: Any) -> tuple[Any, ...]:
    text = isinstance(value, str)
    if trouble == "missing":
        return (None, "") if text else (None,)
    if trouble == "extreme":
        return TEXTS if text else NUMBERS if isinstance(value, (int, float)) and not isinstance(value, bool) else ()
    return ODD_FOR_TEXTS if text else ODD_FOR_NUMBERS


def _leaf(cell: Any) -> Any:
    while isinstance(cell, list) and cell:
        cell = cell[0]
    return cell


def _replaced(cell: Any, value: Any) -> Any:
    return [_replaced(cell[0], value), *cell[1:]] if isinstance(cell, list) and cell else value


def _faults(subject: Subject, inputs: Iterator[Case], *, may_have_gaps: bool) -> Iterator[str]:
    for words, body in inputs:
        status, answer = subject.post(body)
        if status == 200:
            if not may_have_gaps and has_gap(answer.get("predictions") if isinstance(answer, dict) else answer):
                yield f"{words}: the answer has no number where one belongs"
        elif not 400 <= status < 500 or status in (408, 429):
            yield f"{words}: {words_of(status, answer)}"


def has_gap(answer: Any) -> bool:
    """Whether something in an answer is missing or no finite number: the plain door writes NaN as null."""
    if isinstance(answer, dict):
        return any(has_gap(value) for value in answer.values())
    if isinstance(answer, list):
        return any(has_gap(value) for value in answer)
    return answer is None or (isinstance(answer, float) and not math.isfinite(answer))


def _told(trouble: Trouble, faults: list[str], tried: int) -> Finding:
    names = {"missing": "missing values", "extreme": "extreme values", "types": "wrong types", "order": "order"}
    name = names[trouble]
    if not tried:
        return Finding(what=name, verdict="skipped", words=f"{name}: the rows have nothing to try them on")
    if not faults:
        return Finding(what=name, verdict="passed", value=tried, words=f"{name}: {tried} inputs answered or refused")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Finding(what=name, verdict="failed", value=len(faults), words=f"{name}: {faults[0]}{more}")


def _order(subject: Subject, rows: list[Any], good: list[Any]) -> Finding:
    if len(good) != len(rows) or len(rows) < 2:
        return Finding(what="order", verdict="skipped", words="order: fewer than two rows that are answered one by one")
    turned = subject.predict(rows[::-1])
    said = differs(turned[::-1], good, TOLERANCE)
    if said:
        return Finding(what="order", verdict="failed", words=f"order: in another order {said}")
    alone = [subject.predict([row])[0] for row in rows]
    said = differs(alone, good, TOLERANCE)
    if said:
        return Finding(what="order", verdict="failed", words=f"order: asked alone {said}")
    return Finding(what="order", verdict="passed", words=f"order: {len(rows)} rows are answered alike in any order")
