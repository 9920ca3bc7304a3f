"""Tensors: Open Inference Protocol datatypes <-> numpy, raw bytes, and the fit to a signature.

Data flow: raw little-endian bytes or a JSON array -> numpy array -> `fit` to the
TensorSpec (rank, sizes, safe widening) -> model -> numpy array -> raw bytes.

Two datatypes have no numpy twin. BF16 is held as float32: read by shifting its bits up,
written by rounding to nearest even. BYTES is held as an object array of str, or of bytes
where an element is not valid UTF-8; None (no value) is written as an empty element.

Sizes are multiplied as Python ints and compared with the data that came before anything
is allocated, so a shape can neither overflow nor reserve memory that was not sent.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inferry.errors import InvalidInput, ModelFailed
from inferry.types.frames import BIG, MAX_FRAME
from inferry.types.signature import DATATYPES, Signature, TensorSpec

Array = np.ndarray[Any, Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"), "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object), "BF16": np.dtype("<f4"),
}  # fmt: skip

FLOATS = frozenset({"FP16", "FP32", "FP64", "BF16"})

ITEM_SIZES = {name: dtype.itemsize for name, dtype in DTYPES.items()} | {"BF16": 2}

MAX_RANK = 32
ALIGNED = 64  # bytes: what vector instructions like best

_NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}

WIDENS: dict[str, tuple[str, ...]] = {
    wanted: tuple(
        name
        for name, dtype in DTYPES.items()
        if name != wanted
        and not {name, wanted} & {"BOOL", "BYTES"}
        and wanted != "BF16"
        and np.can_cast(dtype, DTYPES[wanted], "safe")
    )
    for wanted in DTYPES
}
"""Datatype -> the datatypes that turn into it without losing anything."""


def check_datatype(datatype: str, what: str) -> None:
    """Refuse a datatype that the protocol does not have."""
    if datatype not in DTYPES:
        raise InvalidInput(
            f"{what} has the unknown datatype {datatype[:40]!r}.", help=f"Use one of {', '.join(DATATYPES)}."
        )


def count(shape: Sequence[int], what: str) -> int:
    """The number of elements of a shape, refused when negative or beyond what a body can hold."""
    if len(shape) > MAX_RANK:
        raise InvalidInput(f"{what} has {len(shape)} dimensions.", help=f"At most {MAX_RANK} are possible.")
    total, space = 1, 1
    for size in shape:
        if size < 0:
            raise InvalidInput(
                f"{what} has a negative size in its shape.", help="Give the true size of each dimension."
            )
        total *= size
        space *= size or 1
        if space > MAX_FRAME:
            raise InvalidInput(
                f"{what} has a shape with too many elements.", help="Make the shape match the data that is sent."
            )
    return total


def read_raw(datatype: str, shape: Sequence[int], raw: memoryview, what: str, *, borrow: bool = False) -> Array:
    """An array from raw little-endian bytes (`what` names it in errors): owned and writable, unless it may
    `borrow` a large, aligned one."""
    wanted = count(shape, what)
    if datatype == "BYTES":
        return _read_bytes(raw, wanted, what).reshape(shape)
    size = wanted * ITEM_SIZES[datatype]
    if len(raw) != size:
        raise InvalidInput(
            f"{what} has {len(raw)} bytes of data, but its shape {show_shape(shape)} of {datatype} takes {size}.",
            help="Make shape, datatype and binary_data_size match the data.",
        )
    if datatype == "BOOL":
        flags: Array = np.frombuffer(raw, np.uint8) != 0
        return flags.reshape(shape)
    if datatype == "BF16":
        return widen_bf16(np.frombuffer(raw, "<u2")).reshape(shape)
    array: Array = np.frombuffer(raw, DTYPES[datatype])
    if not borrow or size < BIG or array.ctypes.data % ALIGNED:
        array = array.copy()
    return array.reshape(shape)


def _read_bytes(raw: memoryview, wanted: int, what: str) -> Array:
    """Elements framed by a 4-byte little-endian length each."""
    if wanted * 4 > len(raw):
        raise InvalidInput(
            f"{what} has {len(raw)} bytes of data, too few for {wanted} BYTES elements.",
            help="Write each element as a 4-byte little-endian length and its bytes.",
        )
    data, at, end = bytes(raw), 0, len(raw)
    elements: list[str | bytes] = []
    for index in range(wanted):
        start = at + 4
        at = start + int.from_bytes(data[at:start], "little") if start <= end else end + 1
        if at > end:
            raise InvalidInput(
                f"{what}, element {index + 1}: its length runs past the end of the data.",
                help="Write each element as a 4-byte little-endian length and its bytes.",
            )
        elements.append(text_or_bytes(data[start:at]))
    if at != end:
        raise InvalidInput(
            f"{what} has {end - at} bytes left over after its {wanted} BYTES elements.",
            help="Make the shape match the number of elements.",
        )
    return objects(elements)


def text_or_bytes(data: bytes) -> str | bytes:
    """Text when the bytes are UTF-8, else the bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def objects(elements: Sequence[Any]) -> Array:
    """A 1-D object array, whatever the elements are."""
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array


def round_bf16(array: Array) -> Array:
    """The upper 16 bits (uint16) of each float32, rounded to nearest even; NaN stays NaN."""
    bits = np.ascontiguousarray(array, np.float32).reshape(-1).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16
    quiet = (bits >> 16) | np.uint32(0x40)
    return np.where((bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000), quiet, rounded).astype("<u2")


def widen_bf16(halves: Array) -> Array:
    """The float32 values of 1-D BF16 bit patterns (uint16)."""
    widened: Array = (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return widened


def write_raw(datatype: str, array: Array) -> bytes:
    """An array's raw little-endian bytes, row-major, without padding."""
    if datatype == "BYTES":
        parts: list[bytes] = []
        for element in array.reshape(-1).tolist():
            data = to_bytes(element)
            parts += (struct.pack("<I", len(data)), data)
        return b"".join(parts)
    if datatype == "BF16":
        return round_bf16(array).tobytes()
    return array.astype(DTYPES[datatype], copy=False).tobytes()


def to_bytes(element: Any) -> bytes:
    """One BYTES element of an answer as bytes; None is empty."""
    if isinstance(element, bytes):
        return element
    text = "" if element is None else element if isinstance(element, str) else str(element)
    return text.encode(errors="replace")


def datatype_of(array: Array, what: str) -> str:
    """The datatype of an array that a model answered. Text of any kind is BYTES."""
    name = _NAMES.get(array.dtype.newbyteorder("<"))
    if name is not None:
        return name
    if array.dtype.kind in "USO":
        return "BYTES"
    raise ModelFailed(
        f"{what} has the type {array.dtype}, which the protocol has no datatype for.",
        help="Let the model answer numbers, booleans or text.",
    )


def show_shape(shape: Sequence[int]) -> str:
    """[-1, 4], without anything numpy."""
    return "[" + ", ".join(str(size) for size in shape) + "]"


def fit(array: Array, datatype: str, spec: TensorSpec, *, column: bool) -> Array:
    """The array as the model takes it, or InvalidInput. A table's `column` comes out 1-D."""
    shape, wanted = array.shape, spec.shape
    if datatype == "BYTES" and spec.takes_files:
        return fit_files(array, spec)
    if column:
        fits = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    else:
        fits = len(shape) == len(wanted) and (
            (wanted[:1] == (-1,) and shape[1:] == wanted[1:])  # by far the most usual
            or all(want in (-1, have) for have, want in zip(shape, wanted, strict=True))
        )
    if not fits:
        also = " or [-1, 1]" if column else ""
        raise InvalidInput(
            f"Input {spec.name!r} has the shape {show_shape(shape)}, but the model takes {show_shape(wanted)}{also}.",
            help="-1 stands for any size." if -1 in wanted else "Send exactly that shape.",
        )
    if datatype != spec.datatype:
        if datatype not in WIDENS[spec.datatype]:
            others = WIDENS[spec.datatype]
            raise InvalidInput(
                f"Input {spec.name!r} has the datatype {datatype}, but the model takes {spec.datatype}.",
                help=f"Send {spec.datatype}" + (f", or one that widens to it: {', '.join(others)}." if others else "."),
            )
        array = array.astype(DTYPES[spec.datatype])
    return array.reshape(-1) if column else array


def fit_files(array: Array, spec: TensorSpec) -> Array:
    """Encoded files, one a row, in place of the tensor that is made of them later."""
    shape = array.shape
    if any(size != 1 for size in shape[1:]) or (spec.shape[0] != -1 and shape[:1] not in ((), (spec.shape[0],))):
        raise InvalidInput(
            f"Input {spec.name!r} has the shape {show_shape(shape)} of files, but the model takes one for each row.",
            help=f"Send {'[-1]' if spec.shape[0] == -1 else '[1]'} of BYTES, -1 being any size.",
        )
    return array.reshape(-1)


def by_row(spec: TensorSpec) -> bool:
    """Whether the first dimension counts rows: it may vary, or is fixed at one."""
    return bool(spec.shape) and spec.shape[0] in (-1, 1)


def one_a_row(spec: TensorSpec) -> bool:
    """Shape [-1, 1] (or [1, 1]): a single value a row."""
    return len(spec.shape) == 2 and spec.shape[1] == 1 and by_row(spec)


def count_rows(signature: Signature, inputs: Mapping[str, Array]) -> int:
    """Rows of a call, 0 when not countable. Where rows must agree, they are checked."""
    sizes = {spec.name: inputs[spec.name].shape[0] for spec in signature.inputs if by_row(spec)}
    distinct = set(sizes.values())
    if not (signature.batchable or signature.kind == "table"):
        return distinct.pop() if len(distinct) == 1 else 0
    if len(distinct) > 1:
        listed = ", ".join(f"{name!r} has {size}" for name, size in list(sizes.items())[:8])
        raise InvalidInput(f"The inputs differ in their number of rows: {listed}.", help="Send as many rows in each.")
    rows = distinct.pop() if distinct else 0
    if not rows:
        raise InvalidInput("The request has no rows.", help="Send at least one row.")
    return rows


def check_no_nan(array: Array, spec: TensorSpec) -> None:
    """Refuse NaN in a column that was never empty in the sample, as JSON null is refused there."""
    if spec.nullable or spec.datatype not in FLOATS:
        return
    missing = np.isnan(array)
    if missing.any():
        raise InvalidInput(
            f"Row {int(missing.argmax()) + 1}, column {spec.name!r}: NaN came, but no missing values are taken here.",
            help="Send a number.",
        )
