"""Equality: whether a converted model answers what the native one does.

Data flow: both answers to the same rows, by output -> the first output that differs, in words; or
the largest difference of a number, which is within the tolerance. Labels, dtypes and shapes must be
the same; NaN equals NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Comparison(NamedTuple):
    """`difference`: what differs, "" for equal. `largest`: the largest absolute difference of a number, and `where`."""

    difference: str
    largest: float
    where: str


def compare(native: Mapping[str, Any], converted: Mapping[str, Any], rtol: float, atol: float) -> Comparison:
    """Compare answers, arrays by output name; the first dimension is the row."""
    if sorted(native) != sorted(converted):
        return Comparison(f"it answers {sorted(converted)} instead of {sorted(native)}", 0.0, "")
    largest, where = 0.0, ""
    for name, wanted in native.items():
        got = converted[name]
        if (got.dtype, got.shape) != (wanted.dtype, wanted.shape):
            what = f"{name} is {got.dtype}{list(got.shape)} instead of {wanted.dtype}{list(wanted.shape)}"
            return Comparison(what, largest, where)
        if wanted.dtype.kind != "f":
            differs = got != wanted
            if differs.any():
                at = _row(differs, differs)
                what = f"{name} differs in {_rows(differs)}, first {_shown(got[at])} instead of {_shown(wanted[at])}"
                return Comparison(what, largest, where)
            continue
        gap = _gap(got, wanted)
        if gap.size and gap.max() > largest:
            largest, where = float(gap.max()), f"{name}, row {_row(gap, gap == gap.max())}"
        with np.errstate(invalid="ignore"):
            far = gap > atol + rtol * np.abs(np.where(np.isfinite(wanted), wanted, 0.0))
        if far.any():
            what = f"{name} differs in {_rows(far)}, by up to {gap.max():.2g}"
            return Comparison(what, largest, where)
    return Comparison("", largest, where)


def _gap(got: Any, wanted: Any) -> Any:
    """Absolute differences; 0 where both are NaN or the same infinity, infinite where only one is finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))


def _row(array: Any, mask: Any) -> int:
    return int(np.argwhere(mask)[0][0]) if array.ndim else 0


def _rows(mask: Any) -> str:
    rows = int(mask.reshape(len(mask), -1).any(axis=1).sum())
    return f"{rows} of {len(mask)} rows"


def _shown(value: Any) -> str:
    return repr(value.tolist() if hasattr(value, "tolist") else value)[:40]
