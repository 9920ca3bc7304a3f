"""Compare: the answers of two revisions to the same request, field by field. Pure."""

from __future__ import annotations

import math
from typing import Any

from inferry.types.traffic import FieldDifference

RTOL, ATOL = 1e-4, 1e-5
PASSED_OVER = frozenset(("model", "model_name", "model_version", "version", "id", "created"))
"""Fields of an answer that say who answered."""

Differences = dict[str, FieldDifference]


def compare(one: Any, other: Any) -> Differences:
    """The fields of two JSON values, rows taken together: `predictions[].score`.

    Numbers are equal within ATOL, or RTOL times the larger one; all else when it is the same. A list of another
    length, and a field that only one has, differ once.
    """
    found: Differences = {}
    if isinstance(one, dict) and isinstance(other, dict):
        one = {name: value for name, value in one.items() if name not in PASSED_OVER}
        other = {name: value for name, value in other.items() if name not in PASSED_OVER}
    _walk("", one, other, found)
    return found


def agree(differences: Differences) -> bool:
    """Whether nothing differs."""
    return not any(field.differing for field in differences.values())


def add(total: Differences, more: Differences, limit: int = 256) -> None:
    """Sum up in place; names beyond `limit` fields are counted together as `...`."""
    for name, field in more.items():
        known = total.setdefault(name if name in total or len(total) < limit else "...", FieldDifference())
        known.values += field.values
        known.differing += field.differing
        known.largest = max(known.largest, field.largest)


def _walk(path: str, one: Any, other: Any, found: Differences) -> None:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            inner = f"{path}.{name}" if path else str(name)
            if name in one and name in other:
                _walk(inner, one[name], other[name], found)
            else:
                _note(found, inner, differs=True)
    elif isinstance(one, list) and isinstance(other, list):
        named = _by_name(one), _by_name(other)
        if named[0] and named[1]:
            _walk(path, *named, found)
        elif len(one) != len(other):
            _note(found, path, differs=True)
        else:
            for mine, theirs in zip(one, other, strict=True):
                _walk(f"{path}[]", mine, theirs, found)
    elif _is_number(one) and _is_number(other):
        mine, theirs = _as_float(one), _as_float(other)
        close = math.isclose(mine, theirs, rel_tol=RTOL, abs_tol=ATOL)
        _note(found, path, differs=not close, gap=0.0 if close and math.isinf(mine) else abs(mine - theirs))
    else:
        _note(found, path, differs=one != other)


def _by_name(rows: list[Any]) -> dict[str, Any] | None:
    """Tensors by their names: [{"name": ..., "data": ...}, ...]."""
    if rows and all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows):
        return {row["name"]: {key: value for key, value in row.items() if key != "name"} for row in rows}
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # JSON has whole numbers of any size
        return math.inf if value > 0 else -math.inf


def _note(found: Differences, path: str, *, differs: bool, gap: float = 0.0) -> None:
    field = found.setdefault(path, FieldDifference())
    field.values += 1
    field.differing += differs
    field.largest = max(field.largest, gap)
