"""Answers: whatever a person's predict returns, made into what the doors can send.

Data flow: array, list, scalar, dict, data frame, tuple or list of records -> named arrays
(`as_tensors`), or a plain JSON value (`as_json`) when the signature is open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from inferry.errors import ModelFailed
from inferry.runtimes.tensors import Array, as_output, plain

LONE = "output"


def as_tensors(value: Any) -> dict[str, Array]:
    """Named arrays; a lone one is called "output". Raises ModelFailed for what is none."""
    if value is None:
        raise ModelFailed("The model answered nothing (None).", help="Return an array, a list or a dict of them.")
    if _is_frame(value):
        return {str(name): as_output(value[name].to_numpy(), str(name)) for name in value.columns}
    if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
        value = _by_column(value)
    if isinstance(value, Mapping):
        if not value:
            raise ModelFailed("The model answered an empty dict.")
        return {str(name): as_output(_unwrapped(item), str(name)) for name, item in value.items()}
    if isinstance(value, tuple) and value and any(isinstance(item, np.ndarray | list) for item in value):
        return {f"{LONE}_{at}": as_output(item, f"{LONE}_{at}") for at, item in enumerate(value)}
    if isinstance(value, bytes | bytearray):  # a file: numpy's own bytes would lose zeros at its end
        file = np.empty(1, dtype=object)
        file[0] = bytes(value)
        return {LONE: as_output(file, LONE)}
    return {LONE: as_output(_unwrapped(value), LONE)}


def _by_column(rows: Any) -> dict[str, list[Any]]:
    names = list(rows[0])
    if any(list(row) != names for row in rows):
        raise ModelFailed("The model's records do not all have the same keys.")
    return {str(name): [row[name] for row in rows] for name in names}


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "to_numpy")


def _unwrapped(value: Any) -> Any:
    """Series, and tensors of other frameworks, as arrays."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return value.to_numpy() if hasattr(value, "to_numpy") else value


def as_json(value: Any, depth: int = 64) -> Any:
    """A plain JSON value. Raises ModelFailed for what JSON cannot say."""
    if value is None or isinstance(value, bool | int | float | str):
        return None if isinstance(value, float) and not math.isfinite(value) else value
    if isinstance(value, bytes | bytearray):
        return bytes(value)  # a file, which the doors send as it is or in base64
    if depth == 0:
        raise ModelFailed("The model's answer is nested too deeply.")
    value = value.to_dict(orient="records") if _is_frame(value) else _unwrapped(value)
    if isinstance(value, np.generic | np.ndarray):
        return _array(value, depth)
    if isinstance(value, Mapping):
        return {str(name): as_json(item, depth - 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item, depth - 1) for item in value]
    raise ModelFailed(
        f"The model answered a {type(value).__name__}, which JSON cannot say.",
        help="Return numbers, text, lists, dicts or arrays.",
    )


def _array(value: Any, depth: int) -> Any:
    array = np.asarray(value)
    if array.dtype.kind in "biufOUS":
        if array.dtype.kind == "O":
            return as_json(array.tolist(), depth - 1)
        return plain(array.astype(object) if array.dtype.kind in "US" else array)
    raise ModelFailed(f"The model answered values of type {array.dtype}, which JSON cannot say.")
