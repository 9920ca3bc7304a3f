"""Judged: gates that compare answers with what is known to be right: golden samples, metrics, slices.

Data flow: a file of the gate -> rows asked of the subject (and of the version it is compared with) -> Scored ->
`policy.gates` says what that means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from inferry.errors import InvalidInput, ModelFailed
from inferry.gates.rows import Rows, json_lines, read_rows
from inferry.gates.scored import Array, Scored, score, text_of
from inferry.gates.subject import Subject, words_of
from inferry.policy import bootstrap
from inferry.policy.gates import differs, judge_difference, judge_limits
from inferry.types.gates import Golden, Holdout, Metrics, Slices
from inferry.types.trials import Finding

GOLDEN_KEYS = {"input", "expected"}


def golden(gate: Golden, subject: Subject) -> list[Finding]:
    """Every recorded input, asked again."""
    file = Path(gate.file).name
    found, wrong = [], 0
    entries = json_lines(file, Path(gate.file).read_text("utf-8"))
    if not entries:
        raise InvalidInput(f"{file} has no line.", help='Write {"input": ..., "expected": ...} in each.')
    for line, entry in entries:
        if not isinstance(entry, dict) or set(entry) != GOLDEN_KEYS:
            odd = sorted(set(entry) ^ GOLDEN_KEYS) if isinstance(entry, dict) else []
            fault = "" if not odd else "missing" if odd[0] in GOLDEN_KEYS else "not known"
            what = f"the key {odd[0]!r} is {fault}" if odd else "the line is no object"
            raise InvalidInput(f"{file}:{line}: {what}.", help='Write {"input": ..., "expected": ...}.')
        difference = _difference(subject, entry["input"], entry["expected"], gate.tolerance)
        if difference:
            wrong += 1
            found.append(Finding(what=f"{file}:{line}", verdict="failed", words=f"{file}:{line}: {difference}"))
    right = len(entries) - wrong
    words = f"{right} of {len(entries)} answers are as recorded"
    found.append(Finding(what="answers", verdict="failed" if wrong else "passed", value=right, words=words))
    return found


def _difference(subject: Subject, body: Any, expected: Any, tolerance: float) -> str:
    status, answer = subject.post(body)
    if status != 200:
        return words_of(status, answer)
    got = answer.get("predictions") if isinstance(answer, dict) else answer
    if isinstance(got, list) and len(got) == 1 and not isinstance(expected, list):
        got = got[0]
    return differs(got, expected, tolerance)


def metrics(gate: Metrics, subject: Subject, other: Subject | None) -> list[Finding]:
    """Limits, and the difference to `other` on the same rows."""
    rows = read_rows(Path(gate.data))
    scored = scores_of(gate, subject, rows)
    everything = np.arange(len(rows.records))
    values = {name: scored.value(name, everything) for name in {**gate.at_least, **gate.at_most}}
    found = judge_limits(values, gate.at_least, gate.at_most)
    if other is not None:
        theirs = scores_of(gate, other, rows)
        for name in compared(gate):
            difference = bootstrap.paired(
                lambda at, name=name: scored.value(name, at) - theirs.value(name, at),  # type: ignore[misc]
                len(rows.records), gate.confidence,
            )  # fmt: skip
            found.append(
                judge_difference(name, difference, other.name, gate.not_worse_by.get(name), gate.better_by.get(name))
            )
    return found


def compared(gate: Metrics) -> list[str]:
    """The metrics that are compared with another version: those with a margin, else all that have a limit."""
    return list({**gate.not_worse_by, **gate.better_by} or {**gate.at_least, **gate.at_most})


def slices(gate: Slices, subject: Subject) -> list[Finding]:
    """The limits for each value of a column."""
    rows = read_rows(Path(gate.data))
    keys = np.array([text_of(value) for value in rows.column(gate.by)], dtype=object)
    scored = scores_of(gate, subject, rows, gate.by)
    found: list[Finding] = []
    for key in sorted(set(keys)):
        at: Array = np.flatnonzero(keys == key)
        name = f"{gate.by}={key or '(missing)'}"
        if len(at) < gate.min_rows:
            words = f"{name} has {len(at)} rows, fewer than {gate.min_rows}"
            found.append(Finding(what=name, verdict="skipped", value=len(at), words=words))
            continue
        values = {metric: scored.value(metric, at) for metric in {**gate.at_least, **gate.at_most}}
        found += judge_limits(values, gate.at_least, gate.at_most, of=name)
    return found


def scores_of(gate: Holdout, subject: Subject, rows: Rows, *more: str) -> Scored:
    """The subject's predictions for a file beside their truth. `more`: columns that say something of a row, which a
    model gets only when it takes one of that name."""
    truth = rows.column(gate.target)
    lost = next((place for place, value in enumerate(truth) if value is None), None)
    if lost is not None:
        raise InvalidInput(f"Row {lost + 1} of {rows.file} has no {gate.target}.", help="Leave such rows out.")
    for name in gate.ignore:
        rows.column(name)
    left_out = {gate.target, *gate.ignore, *more}
    features = [name for name in rows.names if name not in left_out]
    predictions = subject.predict_rows(rows, features)
    if not predictions:
        raise ModelFailed(f"{rows.file} has no row.", help="Give some.")
    return score(predictions, truth, gate.positive, gate.output)
