"""Typed contents: InferTensorContents <-> arrays.

Data flow: the one repeated field that belongs to the datatype -> its elements, packed or one by
one -> range check -> array; and an answer's array -> that field, packed. FP16 and BF16 have no
typed form in the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inferry.errors import InvalidInput
from inferry.protocols import tensors
from inferry.protocols.tensors import DTYPES, Array
from inferry.types.protobuf import BYTES, FIXED32, FIXED64, WireError, delimited, fields, varint

FIELDS = {
    "BOOL": 1, "INT8": 2, "INT16": 2, "INT32": 2, "INT64": 3, "UINT8": 4, "UINT16": 4, "UINT32": 4, "UINT64": 5,
    "FP32": 6, "FP64": 7, "BYTES": 8,
}  # fmt: skip
"""Datatype -> the number of its field."""

NAMES = {
    1: "bool_contents", 2: "int_contents", 3: "int64_contents", 4: "uint_contents", 5: "uint64_contents",
    6: "fp32_contents", 7: "fp64_contents", 8: "bytes_contents",
}  # fmt: skip

WIRES = {"FP32": FIXED32, "FP64": FIXED64, "BYTES": BYTES}


def read_contents(datatype: str, shape: Sequence[int], contents: memoryview | None, what: str) -> Array:
    """The array of an input that came typed (`what` names it in errors). Raises InvalidInput or WireError."""
    wanted = FIELDS.get(datatype)
    if wanted is None:
        raise InvalidInput(f"{what}: {datatype} has no typed contents.", help="Send it in raw_input_contents.")
    size = tensors.count(shape, what)
    chunks: list[memoryview] = []
    for number, wire, value in fields(contents if contents is not None else memoryview(b"")):
        if number not in NAMES:
            continue
        if number != wanted:
            raise InvalidInput(
                f"{what} is declared as {datatype}, but came in {NAMES[number]}.", help=f"Use {NAMES[wanted]}."
            )
        if isinstance(value, memoryview) and wire in (BYTES, WIRES.get(datatype)):
            chunks.append(value)
        elif isinstance(value, int) and datatype not in WIRES:
            chunks.append(memoryview(varint(value)))
        else:
            raise WireError(f"{NAMES[wanted]} of the wrong type")
    array = read_elements(datatype, chunks, what)
    if len(array) != size:
        raise InvalidInput(
            f"{what} declares the shape {tensors.show_shape(shape)}, which is {size} values, but has {len(array)}.",
            help="Make the shape match the data.",
        )
    return array.reshape(tuple(shape))


def read_elements(datatype: str, chunks: list[memoryview], what: str) -> Array:
    """A 1-D array of the elements in a field's pieces."""
    if datatype == "BYTES":
        return tensors.objects([tensors.text_or_bytes(bytes(chunk)) for chunk in chunks])
    data, dtype = b"".join(chunks), DTYPES[datatype]
    if datatype in WIRES:
        if len(data) % dtype.itemsize:
            raise InvalidInput(f"{what}: its contents end inside a value.", help="Send whole values.")
        return np.frombuffer(data, dtype).copy()
    numbers = read_varints(data, what)
    if datatype == "BOOL":
        return numbers.astype(bool)
    if datatype == "UINT64":
        return numbers
    whole = numbers.view(np.int64)
    if whole.size and datatype != "INT64":
        limits = np.iinfo(dtype)
        if whole.min() < limits.min or whole.max() > limits.max:
            raise InvalidInput(f"{what} has a value out of the range of {datatype}.", help="Send smaller numbers.")
    return whole.astype(dtype)


def read_varints(data: bytes, what: str) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The numbers of a packed field, all at once."""
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    if not ends.size:
        if octets.size:
            raise InvalidInput(f"{what}: its contents end inside a value.", help="Send whole values.")
        return np.zeros(0, np.uint64)
    starts = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - starts + 1
    if int(ends[-1]) + 1 != octets.size or int(sizes.max()) > 10:
        raise InvalidInput(f"{what}: its contents are not whole numbers.", help="Send whole values.")
    shifts = (np.arange(octets.size) - np.repeat(starts, sizes)) * 7
    parts = (octets & 0x7F).astype(np.uint64) << shifts.astype(np.uint64)
    return np.add.reduceat(parts, starts)


def write_contents(datatype: str, array: Array) -> bytes | None:
    """An answer's InferTensorContents, None for a datatype that has none."""
    number = FIELDS.get(datatype)
    if number is None:
        return None
    if datatype == "BYTES":
        return b"".join(delimited(number, tensors.to_bytes(element)) for element in array.reshape(-1).tolist())
    if datatype in WIRES:
        return delimited(number, tensors.write_raw(datatype, array))
    return delimited(number, b"".join(map(varint, map(int, array.reshape(-1).tolist()))))
