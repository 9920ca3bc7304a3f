"""Compatibility: what a new signature means for those who call the old one's endpoint. Pure.

Data flow: two signatures -> changes, each compatible or breaking, with its reason.

A change is compatible when every request that was answered is still answered, and every answer still has all that it
had, under the same name and in the same form. No door fills in an input that a request leaves out, so a new
input breaks its callers even where it may be null.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inferry.errors import BreakingChange
from inferry.types.compatibility import Change
from inferry.types.registry import Version
from inferry.types.signature import Scalar, Signature, TensorSpec

WIDENS: dict[str, frozenset[str]] = {
    "UINT16": frozenset({"UINT8"}),
    "UINT32": frozenset({"UINT8", "UINT16"}),
    "UINT64": frozenset({"UINT8", "UINT16", "UINT32"}),
    "INT16": frozenset({"UINT8", "INT8"}),
    "INT32": frozenset({"UINT8", "UINT16", "INT8", "INT16"}),
    "INT64": frozenset({"UINT8", "UINT16", "UINT32", "INT8", "INT16", "INT32"}),
    "FP16": frozenset({"UINT8", "INT8"}),
    "FP32": frozenset({"UINT8", "UINT16", "INT8", "INT16", "FP16", "BF16"}),
    "FP64": frozenset(
        {"UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "BF16"}
    ),
}
"""Datatype -> those that become it without losing anything, as the doors do it."""

FLOATS = {"FP16", "FP32", "FP64", "BF16"}
SHOWN = 5
LISTED = 8


def changes(old: Signature, new: Signature) -> tuple[Change, ...]:
    """Every difference that a caller could notice, the breaking ones first."""
    found = [*_kind(old, new)]
    if old.kind == new.kind != "open":
        found += [*_names("input", old.inputs, new.inputs), *_names("output", old.outputs, new.outputs)]
        found += [change for pair in _common(old.inputs, new.inputs) for change in _input(*pair)]
        found += [change for pair in _common(old.outputs, new.outputs) for change in _output(*pair)]
        found += _order(old, new)
    return tuple(sorted(found, key=lambda change: not change.breaking))


def breaking(old: Signature, new: Signature) -> tuple[Change, ...]:
    """Only what breaks callers."""
    return tuple(change for change in changes(old, new) if change.breaking)


def _kind(old: Signature, new: Signature) -> Iterator[Change]:
    words = {"open": "any JSON value", "table": "columns", "tensors": "tensors"}
    if old.kind != new.kind:
        yield Change(
            where="model", name="", breaking=True, words=f"took {words[old.kind]}, takes {words[new.kind]} now"
        )
    elif old.whole != new.whole:
        how = "as it came" if new.whole else "without its wrapper"
        yield Change(where="model", name="", breaking=True, words=f"gets a JSON body {how} now")


def _names(where: str, old: Sequence[TensorSpec], new: Sequence[TensorSpec]) -> Iterator[Change]:
    """What is gone, new, or has another name."""
    before, after = {spec.name for spec in old}, {spec.name for spec in new}
    gone, fresh = [spec for spec in old if spec.name not in after], [spec for spec in new if spec.name not in before]
    renamed = dict(_renamed(old, new)) if len(old) == len(new) else {}
    for spec in gone:
        if spec.name in renamed:
            yield _change(where, spec, True, f"is called {renamed[spec.name]!r} now")
        elif where == "input":
            yield _change(where, spec, True, "is gone: requests that send it are refused")
        else:
            yield _change(where, spec, True, "is gone")
    for spec in fresh:
        if spec.name in renamed.values():
            continue
        if where == "input":
            yield _change(where, spec, True, "is new: requests without it are refused")
        elif len(old) == 1:
            yield _change(
                where, spec, True, f"is new beside {old[0].name!r}: some doors name outputs when there are several"
            )
        else:
            yield _change(where, spec, False, "is new")


def _renamed(old: Sequence[TensorSpec], new: Sequence[TensorSpec]) -> Iterator[tuple[str, str]]:
    """Those at the same place that differ in nothing but a name that the other side does not have."""
    before, after = {spec.name for spec in old}, {spec.name for spec in new}
    for one, other in zip(old, new, strict=True):
        same = (one.datatype, one.shape, one.labels) == (other.datatype, other.shape, other.labels)
        if same and one.name not in after and other.name not in before:
            yield one.name, other.name


def _common(old: Sequence[TensorSpec], new: Sequence[TensorSpec]) -> Iterator[tuple[TensorSpec, TensorSpec]]:
    after = {spec.name: spec for spec in new}
    return ((spec, after[spec.name]) for spec in old if spec.name in after)


def _order(old: Signature, new: Signature) -> Iterator[Change]:
    before, after = [spec.name for spec in old.inputs], [spec.name for spec in new.inputs]
    if before != after and sorted(before) == sorted(after):
        yield Change(
            where="model", name="", breaking=True,
            words="has its inputs in another order, in which rows without names are read",
        )  # fmt: skip


def _input(old: TensorSpec, new: TensorSpec) -> Iterator[Change]:
    if old.datatype != new.datatype:
        if old.datatype in WIDENS.get(new.datatype, ()):
            yield _change("input", old, False, f"takes {new.datatype} now, to which {old.datatype} widens")
        else:
            narrowed = "narrows" if new.datatype in WIDENS.get(old.datatype, ()) else "changes"
            yield _change("input", old, True, f"{narrowed} from {old.datatype} to {new.datatype}")
    yield from _shape("input", old, new, loosened_breaks=False)
    if old.nullable and not new.nullable:
        yield _change("input", old, True, "takes no missing values any more")
    elif new.nullable and not old.nullable:
        yield _change("input", old, False, "takes missing values now")
    yield from _categories(old, new)
    for what, had, has in (
        ("pictures", old.image is not None, new.image is not None),
        ("sounds", old.audio is not None, new.audio is not None),
    ):
        if had != has:
            yield _change("input", old, had, f"takes no {what} any more" if had else f"takes {what} now")


def _categories(old: TensorSpec, new: TensorSpec) -> Iterator[Change]:
    gone = [value for value in old.categories if value not in new.categories]
    if new.closed and not old.closed:
        yield _change("input", old, True, f"takes nothing but {_listed(new.categories)} now")
    elif old.closed and not new.closed:
        yield _change("input", old, False, "takes unknown values now")
    elif new.closed and gone:
        yield _change("input", old, True, f"takes {_listed(gone)} no more")
    elif set(old.categories) != set(new.categories):
        yield _change("input", old, False, "was trained on other values")


def _output(old: TensorSpec, new: TensorSpec) -> Iterator[Change]:
    if old.datatype != new.datatype:
        widened = old.datatype in WIDENS.get(new.datatype, ())
        alike = (old.datatype in FLOATS) == (new.datatype in FLOATS)
        narrowed = new.datatype in WIDENS.get(old.datatype, ()) and alike
        verb = "widens" if widened and alike else "narrows" if narrowed else "changes"
        yield _change("output", old, verb != "widens", f"{verb} from {old.datatype} to {new.datatype}")
    if old.labels != new.labels:
        yield _change("output", old, True, _labels(old.labels, new.labels))
    else:  # a shape follows from its labels
        yield from _shape("output", old, new, loosened_breaks=True)
    if new.nullable and not old.nullable:
        yield _change("output", old, True, "may be null now")
    elif old.nullable and not new.nullable:
        yield _change("output", old, False, "is never null now")
    if old.top != new.top:
        fewer = new.top and (not old.top or new.top < old.top)
        yield _change("output", old, bool(fewer), f"names {new.top or 'all'} of its labels, not {old.top or 'all'}")
    if old.json != new.json:
        yield _change("output", old, True, "is JSON now" if new.json else "is no JSON any more")


def _labels(old: Sequence[Scalar], new: Sequence[Scalar]) -> str:
    gone, fresh = [label for label in old if label not in new], [label for label in new if label not in old]
    if not old or not new:
        return f"has labels now: {_listed(new)}" if new else "has no labels any more"
    if not gone and not fresh:
        return f"has its labels in another order: {_listed(new)}"
    parts = [f"has {_listed(fresh)} more"] * bool(fresh) + [f"lacks {_listed(gone)}"] * bool(gone)
    return f"has other labels: {' and '.join(parts)}"


def _shape(where: str, old: TensorSpec, new: TensorSpec, *, loosened_breaks: bool) -> Iterator[Change]:
    """Another shape. A size that may vary now takes all it took, but is new to who reads it."""
    if old.shape == new.shape:
        return
    pairs = list(zip(old.shape, new.shape, strict=False))
    loosened = len(old.shape) == len(new.shape) and all(b in (a, -1) for a, b in pairs)
    tightened = len(old.shape) == len(new.shape) and all(a in (b, -1) for a, b in pairs)
    fine = tightened if loosened_breaks else loosened
    yield _change(where, old, not fine, f"changes its shape from {list(old.shape)} to {list(new.shape)}")


def _change(where: str, spec: TensorSpec, breaks: bool, words: str) -> Change:
    return Change(where="input" if where == "input" else "output", name=spec.name, breaking=breaks, words=words)


def _listed(values: Sequence[Scalar]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(repr(value) for value in values[:SHOWN]) + more


def sentence(change: Change) -> str:
    """A change in a line."""
    return f"{change.where} {change.name!r} {change.words}" if change.name else f"the model {change.words}"


def refuse(old: Version, new: Version, endpoint: str) -> None:
    """Raise BreakingChange when the callers of an endpoint, whom `old` serves, would notice that `new` does."""
    found = breaking(old.manifest.signature, new.manifest.signature)
    if found:
        listed = "; ".join(sentence(change) for change in found[:LISTED])
        more = f"; and {len(found) - LISTED} more" if len(found) > LISTED else ""
        name = new.reference if new.number else "This version"
        raise BreakingChange(
            f"{name} would break who calls {endpoint!r}, which serves {old.reference}: {listed}{more}."
        )
