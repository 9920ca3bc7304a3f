"""Declare: the `gates:` section of a file -> gates that can be run, or an error with its lines.

Data flow: text -> the file's top keys (those beside `gates` are others' business) -> gates by their kind -> what no
type can say is checked (metrics exist and point the right way, limits are there, files are there) -> gates with
their files as absolute paths.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from inferry.bundles.declared import read_declared
from inferry.errors import InvalidSettings
from inferry.policy.metrics import KINDS as METRICS
from inferry.policy.metrics import SMALLER_IS_BETTER
from inferry.types import declared
from inferry.types.declared import Problem
from inferry.types.gates import (
    AnyGate,
    BundleSize,
    Command,
    Gate,
    Golden,
    Holdout,
    Latency,
    Memory,
    Metrics,
    Parity,
    Pytest,
    Robustness,
    Slices,
)

SECTION = "gates"
MAX_REQUESTS = 100_000
COMPARE = "Give against: an endpoint, or a version like fraud:6."

Wrong = Iterator[tuple[declared.Path, str, str]]


def read_gates(path: Path) -> tuple[Gate, ...] | None:
    """The gates of a file; None when it declares none. Raises InvalidSettings."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InvalidSettings(f"{path} cannot be read: {why}.", help=near(path)) from error
    keys = read_declared(text, dict[str, Any], str(path)).value
    others = [(key, Any, None) for key in keys if key != SECTION and key.isidentifier()]
    if SECTION not in keys:
        typo = difflib.get_close_matches(SECTION, keys, n=1)
        others = [field for field in others if field[0] not in typo]  # so that it is told with its line
    fields: list[Any] = [(SECTION, tuple[AnyGate, ...], ()), *others]
    found = read_declared(text, msgspec.defstruct("File", fields, frozen=True), str(path))
    gates: tuple[Gate, ...] = getattr(found.value, SECTION)
    folder = path.resolve().parent
    found.check([
        Problem((SECTION, place, *part), words, help)
        for place, gate in enumerate(gates)
        for part, words, help in complaints(gate, folder)
    ])  # fmt: skip
    return tuple(_at(gate, folder) for gate in gates) or None


def complaints(gate: Gate, folder: Path) -> Wrong:
    """What is wrong with a gate that its types do not say: where, what, and what to do."""
    if isinstance(gate, Metrics | Slices):
        yield from _limits(gate)
    if isinstance(gate, Metrics):
        yield from _comparison(gate)
    if isinstance(gate, Latency):
        yield from _latency(gate)
    if isinstance(gate, Memory | BundleSize) and gate.at_most is None and gate.ratio is None:
        yield (), f"nothing is asked of the {gate.kind}", "Give at_most: 500MB, or ratio."
    if isinstance(gate, Latency | Memory | BundleSize):
        yield from _ratio(gate)
    if isinstance(gate, Golden) and not 0 <= gate.tolerance < 1:
        yield ("tolerance",), f"{gate.tolerance:g} is outside of what it can be", "Use 0 up to 1, such as 0.0001."
    if isinstance(gate, Command) and not gate.run:
        yield ("run",), "the command is empty", "Write it as on a command line."
    for field in _files(gate):
        path = folder / getattr(gate, field)
        if not path.exists():
            yield (field,), f"there is no file {getattr(gate, field)!r} in {folder}", near(path)


def near(path: Path) -> str:
    """A file of nearly that name, or what to do."""
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        names = []
    found = difflib.get_close_matches(path.name, names, n=1)
    return f"Did you mean {found[0]!r}?" if found else "Check the path."


def _limits(gate: Metrics | Slices) -> Wrong:
    named = {"at_least": gate.at_least, "at_most": gate.at_most}
    if isinstance(gate, Metrics):
        named |= {"not_worse_by": gate.not_worse_by, "better_by": gate.better_by}
    for field, limits in named.items():
        for metric in limits:
            if metric not in METRICS:
                close = difflib.get_close_matches(metric, METRICS, n=1)
                help = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(METRICS)}."
                yield (field, metric), "it is no metric", help
            elif metric in SMALLER_IS_BETTER and field == "at_least":
                yield (field, metric), f"{metric} is better when it is smaller", "Put it under at_most."
            elif metric not in SMALLER_IS_BETTER and field == "at_most":
                yield (field, metric), f"{metric} is better when it is larger", "Put it under at_least."
    if not any(named.values()):
        yield (), "nothing is asked of the metrics", "Give at_least: {accuracy: 0.9}, or at_most."
    if isinstance(gate, Slices) and gate.min_rows < 1:
        yield ("min_rows",), f"{gate.min_rows} is outside of what it can be", "Use 1 or more."


def _comparison(gate: Metrics) -> Wrong:
    for field, limits in {"not_worse_by": gate.not_worse_by, "better_by": gate.better_by}.items():
        if limits and not gate.against:
            yield (field,), "it compares with another version, but none is named", COMPARE
        for name, margin in limits.items():
            if margin < 0:
                yield (field, name), f"{margin:g} is outside of what it can be", "Use 0 or more."
    if not 0.5 <= gate.confidence < 1:
        yield ("confidence",), f"{gate.confidence:g} is outside of what it can be", "Use 0.5 up to 1, such as 0.95."


def _latency(gate: Latency) -> Wrong:
    if not limits_of(gate.at_most) and not limits_of(gate.ratio):
        yield (), "nothing is asked of the latency", "Give at_most: {p99: 20ms}, or ratio."
    for field, number, low in (("requests", gate.requests, 10), ("warmup", gate.warmup, 0)):
        if not low <= number <= MAX_REQUESTS:
            yield (field,), f"{number} is outside of what it can be", f"Use {low} to {MAX_REQUESTS}."


def limits_of(limits: Any) -> dict[str, float]:
    """The limits that are given, by name."""
    return {} if limits is None else {k: v for k, v in msgspec.structs.asdict(limits).items() if v is not None}


def _ratio(gate: Latency | Memory | BundleSize) -> Wrong:
    if isinstance(gate, Latency):
        ratios = list(limits_of(gate.ratio).values())
    else:
        ratios = [] if gate.ratio is None else [gate.ratio]
    if ratios and not gate.against:
        yield ("ratio",), "it compares with another version, but none is named", COMPARE
    if gate.against and not ratios:
        yield ("against",), "nothing is compared with it", "Give ratio, such as 1.2."
    if any(ratio <= 0 for ratio in ratios):
        yield ("ratio",), "it is outside of what it can be", "Use over 0, such as 1.2."


def _files(gate: Gate) -> list[str]:
    fields = ["file"] if isinstance(gate, Golden | Pytest) else []
    if isinstance(gate, Holdout | Robustness | Parity):
        fields.append("data")
    return [field for field in fields if getattr(gate, field)]


def _at(gate: Gate, folder: Path) -> Gate:
    return msgspec.structs.replace(gate, **{field: str(folder / getattr(gate, field)) for field in _files(gate)})
