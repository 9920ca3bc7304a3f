"""Columns: any JSON-like value as a Sample, the forms that people type.

Data flow: a list of records, a dict of columns, one record, rows of numbers, named arrays
(each also under the single key "inputs" or "instances"), or an Open Inference Protocol
body -> `sample_of` -> Sample. What fits none of these stays a ``value``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inferry.errors import InvalidInput
from inferry.types.sample import Sample

MAX_ROWS = 1000

_SCALARS = (str, int, float, bool, type(None))
_INT64 = range(-(2**63), 2**63)


def sample_of(value: Any) -> Sample:
    """Recognise the form of a value. Raises InvalidInput for what is ragged or empty."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in {"inputs", "instances"}:
        value = next(iter(value.values()))
    if isinstance(value, np.ndarray):
        return Sample(kind="tensors", tensors={"": _tensor(value)})
    if isinstance(value, dict):
        return _from_dict(value)
    if isinstance(value, list):
        return _from_list(value)
    return Sample(kind="value", value=value)


def column(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """One column from scalars, None for missing: INT64, FP64, BOOL or an object array of str."""
    present = [value for value in values if value is not None and not _is_nan(value)]
    kinds = {type(value) for value in present}
    if kinds and kinds <= {bool} and len(present) == len(values):
        return np.array(values, dtype=np.bool_)
    if kinds <= {int, float, bool} and kinds != {bool}:
        exact = kinds == {int} and len(present) == len(values) and all(value in _INT64 for value in present)
        if exact:
            return np.array(values, dtype=np.int64)
        return np.array([math.nan if value is None else _number(value) for value in values], dtype=np.float64)
    text = np.empty(len(values), dtype=object)
    text[:] = [None if value is None or _is_nan(value) else str(value) for value in values]
    return text


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise InvalidInput("The sample has a whole number too large for a float.") from None


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _from_list(rows: list[Any]) -> Sample:
    if not rows:
        raise InvalidInput("The sample is empty.", help="Give at least one row.")
    rows = rows[:MAX_ROWS]
    if all(isinstance(row, dict) for row in rows):
        if _is_oip(rows):
            return _from_oip(rows)
        names = list(dict.fromkeys(name for row in rows for name in row))
        return _from_columns({name: [row.get(name) for row in rows] for name in names}) or Sample(
            kind="value", value=rows
        )
    array = _array(rows)
    return Sample(kind="value", value=rows) if array is None else Sample(kind="tensors", tensors={"": array})


def _from_dict(value: dict[str, Any]) -> Sample:
    if not value:
        raise InvalidInput("The sample is an empty object.", help="Give at least one named value.")
    if isinstance(value.get("inputs"), list) and _is_oip(value["inputs"]):
        return _from_oip(value["inputs"])
    if all(isinstance(item, _SCALARS) for item in value.values()):
        return _from_columns({name: [item] for name, item in value.items()}) or Sample(kind="value", value=value)
    if all(isinstance(item, list | np.ndarray) and len(np.shape(item) if isinstance(item, np.ndarray) else item)
           for item in value.values()):  # fmt: skip
        lists = {name: item.tolist() if isinstance(item, np.ndarray) else item for name, item in value.items()}
        return _from_columns({name: item[:MAX_ROWS] for name, item in lists.items()}) or Sample(
            kind="value", value=value
        )
    return Sample(kind="value", value=value)


def _from_columns(columns: Mapping[str, list[Any]]) -> Sample | None:
    """A table when all cells are scalars and the columns equally long, else named arrays, else None."""
    flat = all(isinstance(cell, _SCALARS) for cells in columns.values() for cell in cells)
    if flat and len({len(cells) for cells in columns.values()}) == 1:
        return Sample(kind="table", tensors={name: column(cells) for name, cells in columns.items()})
    arrays = {name: _array(cells) for name, cells in columns.items()}
    if any(array is None for array in arrays.values()):
        return None
    return Sample(kind="tensors", tensors=arrays)


def _array(value: list[Any]) -> np.ndarray[Any, Any] | None:
    """A rectangular array of numbers, bools or text; None when it is none."""
    try:
        array = np.array(value)
    except (ValueError, OverflowError, TypeError, RecursionError):
        return None
    if array.dtype.kind == "O":
        flat = [cell for cell in array.ravel() if cell is not None]
        if array.size and all(isinstance(cell, int | float) for cell in flat):
            try:
                return np.array(value, dtype=np.float64)  # None becomes NaN
            except (ValueError, OverflowError, TypeError):
                return None
        return None
    if array.dtype.kind in "US" and not _all_text(value):
        return None  # numpy would turn numbers among texts into text
    return _tensor(array)


def _all_text(value: Any) -> bool:
    return all(_all_text(item) for item in value) if isinstance(value, list) else isinstance(value, str)


def _tensor(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.ndim == 0:
        array = array.reshape(1)
    if array.size == 0:
        raise InvalidInput("The sample is empty.", help="Give at least one row.")
    array = array[:MAX_ROWS]
    if array.dtype.kind in "US":
        text = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
        return text.astype(object)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise InvalidInput(
            f"The sample has values of type {array.dtype}, which cannot be sent as a tensor.",
            help="Use numbers, booleans or text.",
        )
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))


def _is_oip(rows: list[Any]) -> bool:
    keys = {"name", "shape", "datatype", "data"}
    return bool(rows) and all(isinstance(row, dict) and keys <= row.keys() for row in rows)


def _from_oip(rows: list[dict[str, Any]]) -> Sample:
    tensors: dict[str, Any] = {}
    for row in rows:
        array = _array(row["data"]) if isinstance(row["data"], list) else None
        shape = row["shape"]
        fits = array is not None and isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
        if not fits or array is None or math.prod(shape) != array.size or not isinstance(row["name"], str):
            raise InvalidInput("A tensor in the sample has data that does not fit its shape.")
        tensors[row["name"]] = array.reshape(shape)[:MAX_ROWS]
    return Sample(kind="tensors", tensors=tensors)
