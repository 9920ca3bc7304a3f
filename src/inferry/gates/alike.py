"""Alike: whether a model that was converted to ONNX still answers what the native one does.

Data flow: the record of the conversion in the bundle -> Findings; or rows of a file -> asked of the converted model
and of the native one, served from the same artifact -> the largest difference.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from inferry.gates.rows import read_rows
from inferry.gates.subject import Subject
from inferry.policy.gates import differs
from inferry.types.gates import Parity
from inferry.types.trials import Finding

Native = Callable[[Subject], AbstractContextManager[Subject]]


def parity(gate: Parity, subject: Subject, native: Native) -> list[Finding]:
    """By the record, or with `data` by asking both."""
    made = subject.manifest.conversion
    if made is None or not made.serves:
        why = f": {made.reason.rstrip('.')}" if made is not None and made.reason else ""
        words = f"it is served as it was given, by {subject.manifest.runtime}{why}"
        return [Finding(what="onnx", verdict="failed" if gate.require else "skipped", words=words)]
    if gate.data:
        return [_asked(gate, subject, native)]
    words = f"equal to {made.runtime} on {made.rows} rows when converted, the largest difference {made.largest:.2g}"
    if gate.at_most is not None and made.largest > gate.at_most:
        words = f"differs from {made.runtime} by {made.largest:.2g} in {made.where}, but at most by {gate.at_most:g}"
        return [Finding(what="onnx", verdict="failed", value=made.largest, limit=gate.at_most, words=words)]
    return [Finding(what="onnx", verdict="passed", value=made.largest, limit=gate.at_most, words=words)]


def _asked(gate: Parity, subject: Subject, native: Native) -> Finding:
    made = subject.manifest.conversion
    assert made is not None
    rows = read_rows(Path(gate.data))
    features = [name for name in rows.names if name not in gate.ignore]
    converted = subject.predict_rows(rows, features)
    with native(subject) as other:
        theirs = other.predict_rows(rows, features)
    largest = max((gap(one, two) for one, two in zip(converted, theirs, strict=True)), default=0.0)
    most = gate.at_most if gate.at_most is not None else made.rtol
    for place, (one, two) in enumerate(zip(converted, theirs, strict=True)):
        said = differs(one, two, most)
        if said:
            words = f"row {place + 1} of {rows.file}: {said} as {made.runtime} answers"
            return Finding(what="onnx", verdict="failed", value=largest, limit=most, words=words)
    words = f"equal to {made.runtime} on {len(converted)} rows of {rows.file}, the largest difference {largest:.2g}"
    return Finding(what="onnx", verdict="passed", value=largest, limit=most, words=words)


def gap(one: Any, two: Any) -> float:
    """The largest difference of a number in two answers of one form."""
    if isinstance(one, dict) and isinstance(two, dict):
        return max((gap(one[key], two[key]) for key in one.keys() & two.keys()), default=0.0)
    if isinstance(one, list) and isinstance(two, list):
        return max((gap(a, b) for a, b in zip(one, two, strict=False)), default=0.0)
    numbers = (int, float)
    return abs(one - two) if isinstance(one, numbers) and isinstance(two, numbers) else 0.0
