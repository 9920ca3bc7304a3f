"""Arrays <-> Open Inference Protocol bodies, binary wherever a tensor can be. Needs numpy.

Data flow out: {input name: array or column} -> JSON head, then the raw little-endian bytes of
each tensor that could be made exactly the signature's type. A column that cannot (a missing
text, a word where a number belongs) travels as JSON instead, so that the server, which knows
the rules, takes it or names the row at fault. Back: head and bytes -> {output name: array}.
"""

from __future__ import annotations

import base64
import contextlib
import math
import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from inferry.client.results import jsonable
from inferry.errors import InternalError
from inferry.types.signature import TensorSpec

Array = np.ndarray[Any, Any]

DTYPES = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class _Body(msgspec.Struct):
    outputs: list[_Output]
    model_version: str = ""


_BODY = msgspec.json.Decoder(_Body)


def encode(inputs: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> tuple[bytes, int]:
    """The request's body and the size of its JSON head (0: all of it). `inputs` are the signature's."""
    heads: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, value in inputs.items():
        spec = specs[name]
        array = _with_rows(_as_array(value, spec), spec)
        head: dict[str, Any] = {"name": name, "datatype": spec.datatype, "shape": array.shape}
        raw = _raw(array, spec.datatype)
        if raw is None:
            head["data"] = [_cell(value) for value in array.reshape(-1).tolist()]
        else:
            head["parameters"] = {"binary_data_size": len(raw)}
            blobs.append(raw)
        heads.append(head)
    json = msgspec.json.encode({"inputs": heads, "parameters": {"binary_data_output": True}})
    return b"".join((json, *blobs)), len(json) if blobs else 0


def decode(body: bytes, json_size: int) -> dict[str, Array]:
    """The named arrays of a response."""
    head = _BODY.decode(body[:json_size] if json_size else body)
    at, raw, outputs = 0, memoryview(body)[json_size:], {}
    for output in head.outputs:
        size = output.parameters.get("binary_data_size")
        if size is None:
            array = _from_json(output)
        else:
            array = _from_raw(output.datatype, raw[at : at + size])
            at += size
        outputs[output.name] = array.reshape(output.shape)
    return outputs


def _as_array(value: Any, spec: TensorSpec) -> Array:
    """An array of any type; pandas columns keep what is missing as NaN (numbers) or None."""
    if hasattr(value, "to_numpy") and not isinstance(value, np.ndarray):
        if spec.datatype in ("FP16", "FP32", "FP64", "BF16") and value.hasnans:
            with contextlib.suppress(ValueError, TypeError):  # words among the numbers: the server names them
                return np.asarray(value.to_numpy(dtype="float64", na_value=float("nan")))
        value = value.astype(object).where(value.notna(), None) if value.hasnans else value
    array = np.asarray(value)
    return array.astype("datetime64[us]") if array.dtype.kind == "M" else array  # nanoseconds would list as numbers


def _with_rows(array: Array, spec: TensorSpec) -> Array:
    """An array without its row dimension is one row."""
    return array[np.newaxis] if array.ndim == len(spec.shape) - 1 and spec.shape[0] in (-1, 1) else array


def _raw(array: Array, datatype: str) -> bytes | None:
    """The tensor's bytes, or None when its values are not exactly of that datatype."""
    if datatype == "BYTES":
        return _raw_text(array)
    wanted = DTYPES.get(datatype)
    if wanted is None or not _fits(array, np.dtype(wanted)):
        return None
    return array.astype(wanted, order="C", copy=False).tobytes()


def _fits(array: Array, wanted: np.dtype[Any]) -> bool:
    """Whole numbers may widen or become floats; anything lossy beyond rounding is not done here."""
    if array.dtype.kind == "O" or (array.dtype.kind == "b") != (wanted.kind == "b"):
        return bool(array.dtype == wanted)
    if array.dtype.kind not in "biuf":
        return False
    if wanted.kind == "f":
        with np.errstate(over="ignore"):
            return bool(np.array_equal(np.isfinite(array), np.isfinite(array.astype(wanted))))
    if wanted.kind == "b" or np.can_cast(array.dtype, wanted, "safe"):
        return True
    if not array.size:
        return True
    limits = np.iinfo(wanted)
    low, high = array.min().item(), array.max().item()  # Python numbers: compared without rounding
    return limits.min <= low and high <= limits.max and (array.dtype.kind != "f" or bool((array % 1 == 0).all()))


def _raw_text(array: Array) -> bytes | None:
    parts: list[bytes] = []
    for value in array.reshape(-1).tolist():
        text = value.encode() if isinstance(value, str) else value
        if not isinstance(text, bytes):
            return None
        parts += (struct.pack("<I", len(text)), text)
    return b"".join(parts)


def _cell(value: Any) -> Any:
    """A value as JSON has it, null for what is missing."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, (str, bool, int, float)) else jsonable(value)


def _from_json(output: _Output) -> Array:
    data = np.empty(len(output.data or ()), dtype=object)
    data[:] = output.data or []
    wanted = DTYPES.get(output.datatype, "<f4" if output.datatype == "BF16" else None)
    return data if wanted is None else data.astype(wanted)


def _from_raw(datatype: str, raw: memoryview) -> Array:
    if datatype == "BYTES":
        return _texts(bytes(raw))
    if datatype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if datatype not in DTYPES:
        raise InternalError(f"The server answered with the unknown datatype {datatype!r}.")
    return np.frombuffer(raw, DTYPES[datatype]).copy()


def _texts(raw: bytes) -> Array:
    """Length-prefixed elements as an object array of str, or of bytes where one is not UTF-8."""
    found: list[str | bytes] = []
    at = 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        element = raw[at + 4 : end]
        try:
            found.append(element.decode())
        except UnicodeDecodeError:
            found.append(element)
        at = end
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array
