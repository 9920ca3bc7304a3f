"""Conversion, in the model's own environment: candidates in ONNX, and the native model's answers to compare with.

Data flow: loaded native model, sample -> the family's converter -> model files and plans in the scratch
folder; check rows -> native answers, computed by the very class that would serve -> the answer sheet. What
the native model refuses becomes guards: a converted model must refuse it too, in the same words.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from inferry import plugins
from inferry.errors import InferryError, InvalidInput, InvalidModel
from inferry.interfaces.runtime import LoadedModel
from inferry.policy.equality import compare
from inferry.runtimes.answersheet import write_sheet
from inferry.runtimes.calls import Calls, best_us, by_row, pieces
from inferry.runtimes.checkrows import ALL, STRANGE, draw, merged, most_rows, probes, resized, units
from inferry.runtimes.converters import Conversions, NotConvertible
from inferry.runtimes.tensors import Array, from_sample, made_up, rows_of, take
from inferry.types.conversion import ATOL, RTOL, SHEET, Converted, Draft, Guard
from inferry.types.sample import Sample
from inferry.types.signature import Signature, TensorSpec

MAX_DRAFTS = 6
ASK_S = 15.0  # about how long the native model is asked
_NOT_COMPARED = {"empty", "large"}
_LARGE = "The model refuses this input: it has a value beyond the range of 32-bit floats."
_NO_NUMBER = "The model refuses this input: it has a missing or infinite value, to which its answer is no number."
_BY_MACHINE = (
    "The model refuses this input: it has a missing or infinite value, to which its answer depends on the machine."
)


@dataclass
class Asked:
    """Rows that the native model answered, its answers, and rows that it refused. `strange`: those with a missing or
    infinite value, with their answers."""

    rows: list[dict[str, Array]] = field(default_factory=list)
    answers: list[dict[str, Array]] = field(default_factory=list)
    refused: list[dict[str, Array]] = field(default_factory=list)
    strange: list[tuple[dict[str, Array], dict[str, Array]]] = field(default_factory=list)
    refusals: dict[tuple[str, str], dict[int, InferryError]] = field(default_factory=lambda: defaultdict(dict))


def convert(runtime: str, model: LoadedModel, signature: Signature, sample: Sample | None, scratch: Path) -> Converted:
    """Leave candidates and the answer sheet in `scratch`. Raises InvalidModel with the reason why there are none."""
    specs = signature.inputs
    given = from_sample(specs, sample) if sample else made_up(specs, rows=3)
    made: Conversions = plugins.load("inferry.converters", runtime)(model, signature, given)
    calls = Calls(model, signature)
    with contextlib.redirect_stderr(io.StringIO()):  # what it refuses, it tells at length
        rows, parts = _asked(calls, signature, calls.wrapped(given), made, sampled=sample is not None)
    if not parts[0].rows:
        raise InvalidModel("The native model answers none of the rows to compare with.")
    guards, strange = _guards(parts[0], specs, rows), parts[0].strange
    drafts = []
    for at, (proto, plan) in zip(range(MAX_DRAFTS), made.graphs, strict=False):
        file = f"draft-{at}.onnx"
        (scratch / file).write_bytes(proto.SerializeToString())
        drafts.append(Draft(file=file, plan=msgspec.structs.replace(plan, guards=guards)))
    if made.by_machine and strange:
        wary = (*guards, *_wary(guards, strange))
        drafts += [
            Draft(file=one.file, plan=msgspec.structs.replace(one.plan, guards=wary), wary=True) for one in drafts
        ]
    groups = {"base": rows}
    for at, part in enumerate(parts):
        mark = f".{at}" if at else ""
        groups |= {f"inputs{mark}": merged(part.rows), f"answers{mark}": merged(part.answers)}
    if strange:
        asked, answered = zip(*strange, strict=True)
        groups |= {"inputs.strange": merged(asked), "answers.strange": merged(answered)}
    if parts[0].refused:
        groups["refused"] = merged(parts[0].refused)
    write_sheet(scratch / SHEET, groups)
    one = {} if by_row(signature) else {"1": best_us(calls.predict, take(rows, [0]))}
    count = sum(rows_of(groups[name]) for name in groups if name.startswith("inputs"))
    return Converted(converter=made.converter, drafts=tuple(drafts), rows=count, native_us=one)


def _asked(
    calls: Calls, signature: Signature, rows: dict[str, Array], made: Conversions, *, sampled: bool
) -> tuple[dict[str, Array], list[Asked]]:
    """The sample's rows, as many as there is time for, and what was asked: rows like them, and rows of other sizes."""
    specs = signature.inputs
    first = take(rows, [0])
    before = time.perf_counter()
    with contextlib.suppress(InferryError):
        calls.predict(first)
        before = time.perf_counter()
        calls.predict(first)
    most = most_rows(rows, ASK_S, time.perf_counter() - before)
    rows = take(rows, range(min(rows_of(rows), most)))
    some = take(rows, range(min(rows_of(rows), 4)))
    usual = _answers(calls, some)
    parts = [Asked()]
    for piece in pieces(draw(rows, specs, made.cuts, sampled=sampled, most=most)):
        _ask(calls, piece, parts[0])
    _probe(calls, rows, signature, parts[0])
    for other in resized(some, specs, shift=0 if by_row(signature) else 1):
        part = Asked()
        _ask(calls, other, part)
        if part.rows:
            parts.append(part)
    if any(compare(usual, again, RTOL, ATOL).difference for again in (_answers(calls, some), _answers(calls, some))):
        raise NotConvertible("it does not always answer the same to the same rows")
    return rows, parts


def _answers(calls: Calls, rows: dict[str, Array]) -> dict[str, Array]:
    try:
        return calls.predict(dict(rows))
    except InferryError:
        return {}


def _ask(calls: Calls, rows: dict[str, Array], asked: Asked) -> None:
    """All at once; where that is refused, each half by itself, down to the rows that are refused."""
    try:
        answers = calls.predict(dict(rows))
    except InferryError:
        count = rows_of(rows)
        if count == 1:
            asked.refused.append(rows)
            return
        for part in (range(count // 2), range(count // 2, count)):
            _ask(calls, take(rows, part), asked)
    else:
        asked.rows.append(rows)
        asked.answers.append(answers)


def _probe(calls: Calls, rows: dict[str, Array], signature: Signature, asked: Asked) -> None:
    for probe in probes(rows, signature.inputs):
        if probe.kind == "empty" and not by_row(signature):
            continue
        try:
            answers = calls.predict(dict(probe.row))
        except InferryError as error:
            asked.refusals[probe.input, probe.kind][probe.column] = error
            if probe.kind not in _NOT_COMPARED:
                asked.refused.append(probe.row)
        else:
            if probe.kind == "large":
                asked.refusals[probe.input, probe.kind].setdefault(ALL, InvalidInput(_LARGE))
            elif probe.kind in {"nan", "infinite"} and _no_number(answers):
                asked.refusals[probe.input, probe.kind].setdefault(ALL, InvalidInput(_NO_NUMBER))
            elif probe.kind in {"nan", "infinite"}:
                asked.strange.append((probe.row, answers))
            elif probe.kind not in _NOT_COMPARED:
                asked.rows.append(probe.row)
                asked.answers.append(answers)


def _wary(guards: Sequence[Guard], strange: Sequence[tuple[dict[str, Array], dict[str, Array]]]) -> list[Guard]:
    """Guards against missing and infinite values where there is none yet."""
    known = {(guard.input, guard.kind) for guard in guards}
    floats = [name for name, array in strange[0][0].items() if array.dtype.kind == "f"]
    return [
        Guard(input=name, kind=kind, message=_BY_MACHINE)
        for name in floats
        for kind in ("nan", "infinite")
        if (name, kind) not in known
    ]


def _no_number(answers: Mapping[str, Array]) -> bool:
    return any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in answers.values())


def _guards(asked: Asked, specs: Sequence[TensorSpec], rows: Mapping[str, Array]) -> tuple[Guard, ...]:
    """What is refused, for each input: what the native model refuses, values that do not fit into 32 bits, and
    values to which the answer is no number: there frameworks differ.

    A matrix must be refused in all its columns alike.
    """
    guards = []
    by_name = {spec.name: spec for spec in specs}
    for (name, kind), errors in asked.refusals.items():
        spec = by_name[name]
        if kind != "large" and ALL not in errors and set(errors) != set(units(rows[name].shape[1])):
            raise NotConvertible(f"it refuses {kind} values in some columns of {name} only")
        error = errors[ALL] if ALL in errors else next(iter(errors.values()))
        message = error.message.replace(repr([STRANGE]), "{values}") if kind == "unknown" else error.message
        known = spec.categories if kind == "unknown" else ()
        guards.append(Guard(input=name, kind=kind, message=message, code=error.code, known=known))  # type: ignore[arg-type]
    return tuple(guards)
