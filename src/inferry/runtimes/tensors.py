"""Tensors: datatypes, text and JSON rows, shared by the runtimes.

Data flow: numpy arrays <-> the Open Inference Protocol's datatype names; a sample -> input
arrays of a known signature; inputs and outputs -> the plain JSON rows that people read.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InvalidInput, ModelFailed
from inferry.types.sample import Sample
from inferry.types.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

MAX_EXAMPLE_ROWS = 5
MAX_EXAMPLE_VALUES = 4096
MAX_ANSWER_VALUES = 65536


def datatype_of(array: Array) -> str:
    """The protocol's name of an array's dtype. ModelFailed for one that it has no name for."""
    name = _NAMES.get(array.dtype.newbyteorder("="))
    if name is None:
        raise ModelFailed(f"The model answered values of type {array.dtype}, which cannot be sent.")
    return name


def as_text(array: Array) -> Array:
    """An object array of str (None kept) from any array of text or bytes."""
    if array.dtype.kind != "O":
        array = array.astype(object)
    flat = array.ravel()
    if all(type(value) is str or value is None for value in flat):
        return array
    text = np.empty(flat.size, dtype=object)
    text[:] = [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else value if value is None else str(value)
        for value in flat
    ]
    return text.reshape(array.shape)


def as_files(array: Array) -> Array:
    """An object array of str, and of bytes where an element is not UTF-8 text: a picture, say."""
    made = np.empty(array.size, dtype=object)
    made[:] = [_decoded(value) if isinstance(value, bytes) else value for value in array.ravel()]
    return made.reshape(array.shape)


def _decoded(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def as_output(value: Any, name: str) -> Array:
    """Any array-like as an array that can be sent, at least 1-D. Raises ModelFailed."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RecursionError):
        raise ModelFailed(f"The model's output {name!r} is ragged: its rows differ in length.") from None
    if array.ndim == 0:
        array = array.reshape(1)
    kind = array.dtype.kind
    if kind in "US":
        return as_text(array)
    if kind == "O":
        if all(isinstance(item, str | bytes) or item is None for item in array.ravel()):
            return as_files(array)
        if all(isinstance(item, bool | np.bool_) for item in array.ravel()):
            return array.astype(np.bool_)
        if all(isinstance(item, int | float | np.number) or item is None for item in array.ravel()):
            return array.astype(np.float64)
        raise ModelFailed(f"The model's output {name!r} mixes types, so it cannot be made into a tensor.")
    if array.dtype.newbyteorder("=") not in _NAMES:
        raise ModelFailed(f"The model's output {name!r} has type {array.dtype}, which cannot be sent.")
    return array


def rows_of(tensors: Mapping[str, Array]) -> int:
    """The common length of the first dimension; 0 when there is none."""
    sizes = {np.shape(array)[0] if np.ndim(array) else 0 for array in tensors.values()}
    return sizes.pop() if len(sizes) == 1 else 0


def take(tensors: Mapping[str, Array], rows: Sequence[int]) -> dict[str, Array]:
    """These rows of every array."""
    index = np.asarray(rows, dtype=np.intp)
    return {name: array[index] for name, array in tensors.items()}


def head(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The first rows, as many as make a readable example."""
    rows = rows_of(tensors)
    if rows == 0:
        return dict(tensors)
    values = sum(array.size for array in tensors.values())
    keep = max(1, min(rows, MAX_EXAMPLE_ROWS, MAX_EXAMPLE_VALUES * rows // max(values, 1)))
    return take(tensors, range(keep))


def made_up(specs: Sequence[TensorSpec], rows: int = 1, size: int = 1) -> dict[str, Array]:
    """Small deterministic inputs for these specs: `rows` for the first free dimension, `size` for the others."""
    return {spec.name: _made_up(spec, rows, size) for spec in specs}


def _made_up(spec: TensorSpec, rows: int, size: int) -> Array:
    shape = [(rows if at == 0 else size) if length < 0 else length for at, length in enumerate(spec.shape)]
    count = math.prod(shape)
    if spec.categories:
        values: Any = [spec.categories[at % len(spec.categories)] for at in range(count)]
    elif spec.datatype == "BYTES":
        values = ["text"] * count
    elif spec.datatype == "BOOL":
        values = [at % 2 == 0 for at in range(count)]
    elif spec.datatype.startswith("FP"):
        values = (np.arange(count) % 10 + 1) / 10
    else:
        values = np.arange(count) % 3
    array = np.empty(count, dtype=DTYPES[spec.datatype])
    array[:] = values
    return array.reshape(shape)


def from_sample(specs: Sequence[TensorSpec], sample: Sample) -> dict[str, Array]:
    """A sample as the arrays that these specs describe. Raises InvalidInput saying what does not fit."""
    if sample.kind == "value":
        raise InvalidInput(
            "The sample is not made of rows or arrays.", help=f"Give a value for each of: {_names(specs)}."
        )
    given = dict(sample.tensors)
    lone = specs[0] if len(specs) == 1 else None
    if lone and "" in given:
        given = {lone.name: given[""]}
    elif lone and lone.name not in given and sample.kind == "table" and len(lone.shape) == 2:
        given = {lone.name: _stack(given, lone)}
    missing = [spec.name for spec in specs if spec.name not in given]
    if missing:
        raise InvalidInput(
            f"The sample has no {', '.join(map(repr, missing[:5]))}.", help=f"The model takes: {_names(specs)}."
        )
    return {spec.name: _fit(spec, given[spec.name]) for spec in specs}


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(spec.name for spec in specs[:20])


def _stack(columns: Mapping[str, Array], spec: TensorSpec) -> Array:
    if spec.shape[1] not in {-1, len(columns)}:
        raise InvalidInput(
            f"The sample has {len(columns)} columns, the model takes {spec.shape[1]}.",
            help="Leave out columns that are not inputs, such as the target.",
        )
    if spec.datatype != "BYTES" and any(array.dtype.kind == "O" for array in columns.values()):
        raise InvalidInput("The sample has a text column, the model takes numbers.")
    return np.column_stack(list(columns.values()))


def _fit(spec: TensorSpec, array: Array) -> Array:
    if array.ndim == len(spec.shape) - 1:
        array = array[:, np.newaxis] if spec.shape[1:] == (1,) else array[np.newaxis]
    if array.ndim != len(spec.shape) or any(
        want >= 0 and have != want for want, have in zip(spec.shape, array.shape, strict=True)
    ):
        raise InvalidInput(
            f"The sample's {spec.name!r} has shape {list(array.shape)}, the model takes {list(spec.shape)}."
        )
    if spec.datatype == "BYTES":
        return as_text(array)
    dtype = DTYPES[spec.datatype]
    if array.dtype.kind == "O":
        raise InvalidInput(f"The sample's {spec.name!r} is text, the model takes {spec.datatype}.")
    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
        if dtype.kind in "iub" and not np.array_equal(cast, array):
            raise InvalidInput(f"The sample's {spec.name!r} has values that are not {spec.datatype}.")
    return cast


def plain(array: Any) -> Any:
    """An array as JSON: NaN and infinities are null, text is text, short floats stay short."""
    array = np.asarray(array)
    if array.dtype.kind == "O":
        cells = np.empty(array.size, dtype=object)
        cells[:] = [_cell(value) for value in array.ravel()]
        return cells.reshape(array.shape).tolist()
    if array.dtype.kind != "f":
        return array.tolist()
    flat = [float(str(value)) if math.isfinite(value) else None for value in array.ravel()]
    return np.array(flat, dtype=object).reshape(array.shape).tolist()


def _cell(value: Any) -> Any:
    """Text, null, or bytes that are not text in base64."""
    value = _decoded(value) if isinstance(value, bytes) else value
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value if value is None else str(value)


def json_texts(values: Sequence[Any]) -> Array:
    """Each value as its JSON text: a row of an output that is `json`."""
    array = np.empty(len(values), dtype=object)
    array[:] = [msgspec.json.encode(value).decode() for value in values]
    return array


def _told(array: Array) -> list[Any]:
    """JSON texts as the values that they say."""
    return [msgspec.json.decode(text) for text in array.tolist()]


def example_body(signature: Signature, inputs: Mapping[str, Array]) -> Any:
    """A body for `POST /predict/...`: records for a table, else arrays under "inputs"."""
    if signature.kind == "table":
        columns = {name: plain(array) for name, array in inputs.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if sum(array.size for array in inputs.values()) > MAX_ANSWER_VALUES * 8:
        return None
    named = {name: plain(array) for name, array in inputs.items()}
    return {"inputs": next(iter(named.values())) if len(named) == 1 else named}


def answer_rows(signature: Signature, outputs: Mapping[str, Array]) -> Any:
    """What the model said, as one object a row; named arrays when the outputs have no common rows."""
    texts = [array for array in outputs.values() if np.asarray(array).dtype == object]
    files = sum(len(value) for array in texts for value in array.ravel() if isinstance(value, bytes))
    if sum(np.size(array) for array in outputs.values()) + files > MAX_ANSWER_VALUES:
        return None
    rows = rows_of(outputs)
    labels = {spec.name: spec.labels for spec in signature.outputs if spec.labels}
    told = {spec.name for spec in signature.outputs if spec.json}
    shown = {name: _told(array) if name in told else plain(array) for name, array in outputs.items()}
    if not rows:
        return shown
    return [
        {
            name: dict(zip(map(str, labels[name]), values[row], strict=True)) if name in labels else values[row]
            for name, values in shown.items()
        }
        for row in range(rows)
    ]
