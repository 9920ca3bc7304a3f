"""TensorFlow Serving's Predict in Protocol Buffers: PredictRequest -> Call, outputs -> PredictResponse.

Data flow: map of name -> TensorProto -> array of its dtype and shape -> `fit` to the signature ->
Call. A TensorProto has its elements as raw bytes (`tensor_content`) or in the field of its type, of
which the last is repeated until the shape is filled. Answers hold raw bytes, and text as `string_val`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from inferry.errors import InferryError, InvalidInput
from inferry.interfaces.codec import Call, Encoded
from inferry.protocols import tensors
from inferry.protocols.forms import grpc_error
from inferry.protocols.grpc_contents import read_elements, read_varints
from inferry.protocols.named import NamedTensors
from inferry.protocols.tensors import DTYPES, Array
from inferry.protocols.tfs import check_signature
from inferry.types.frames import CONTENT_PROTO, Request
from inferry.types.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    WireError,
    delimited,
    fields,
    integer,
    signed,
    submessages,
    text,
    varint,
)
from inferry.types.signature import Signature

DATATYPES = {
    1: "FP32", 2: "FP64", 3: "INT32", 4: "UINT8", 5: "INT16", 6: "INT8", 7: "BYTES", 9: "INT64", 10: "BOOL",
    14: "BF16", 17: "UINT16", 19: "FP16", 22: "UINT32", 23: "UINT64",
}  # fmt: skip
"""DataType -> datatype."""
TYPES = {datatype: number for number, datatype in DATATYPES.items()}

VALUES = {
    "FP32": 5, "FP64": 6, "INT32": 7, "INT16": 7, "INT8": 7, "UINT8": 7, "UINT16": 7, "BYTES": 8, "INT64": 10,
    "BOOL": 11, "FP16": 13, "BF16": 13, "UINT32": 16, "UINT64": 17,
}  # fmt: skip
"""Datatype -> the field of its elements."""

CONTENT = 4
WIRES = {5: FIXED32, 6: FIXED64, 8: BYTES}
MAX_FILLED = 64 << 20

HINT = "Compare it with GetModelMetadata, and with the protocol's PredictRequest."


class _Tensor(NamedTuple):
    datatype: str
    shape: tuple[int, ...]
    content: memoryview
    values: list[memoryview]


class TfsGrpcCodec:
    """Reads and writes the protocol's messages for one signature."""

    def __init__(self, signature: Signature) -> None:
        self._tensors = NamedTensors(signature)

    def decode(self, request: Request) -> Call:
        """A Call from a message. Raises InvalidInput."""
        inputs: dict[str, Array] = {}
        wanted: list[tuple[str, bool]] = []
        try:
            for number, wire, value in fields(memoryview(request.body)):
                if wire != BYTES or not isinstance(value, memoryview):
                    continue
                if number == 1:
                    check_signature(next(map(text, submessages(value, 3)), ""))
                elif number == 2:
                    self._add(inputs, value)
                elif number == 3:
                    self._tensors.check_output(text(value))
                    wanted.append((text(value), True))
        except WireError as error:
            raise InvalidInput(f"The message is not a valid PredictRequest: {error}.", help=HINT) from None
        self._tensors.check_complete(inputs)
        return Call(
            inputs=inputs,
            rows=self._tensors.rows(inputs),
            name=request.name,
            version=request.version,
            wanted=tuple(wanted),
        )

    def _add(self, inputs: dict[str, Array], entry: memoryview) -> None:
        """One entry of the map of inputs; the last of a name counts."""
        name = next(map(text, submessages(entry, 1)), "")
        what = f"Input {name[:60]!r}"
        tensor = read_tensor(next(submessages(entry, 2), memoryview(b"")), what)
        spec = self._tensors.input(name, tensor.datatype)
        inputs[name] = self._tensors.fit(read_array(tensor, what), tensor.datatype, spec, raw=True)

    def encode(self, call: Call, outputs: Any) -> Encoded:
        """A PredictResponse."""
        named = self._tensors.outputs(outputs)
        parts: list[bytes] = []
        for name in [name for name, _ in call.wanted] or list(named):
            array, datatype = self._tensors.output(named, name)
            parts.append(delimited(1, delimited(1, name.encode()) + delimited(2, write_tensor(datatype, array))))
        version = delimited(2, integer(1, int(call.version))) if call.version.isdigit() else b""
        spec = delimited(1, call.name.encode()) + version + delimited(3, b"serving_default")
        return Encoded(CONTENT_PROTO, 0, b"".join((*parts, delimited(2, spec))))

    def refuse(self, error: InferryError) -> bytes:
        """The error as a google.rpc.Status."""
        return grpc_error(error)


def read_tensor(message: memoryview, what: str) -> _Tensor:
    """A TensorProto, its elements not read yet. Raises WireError or InvalidInput."""
    dtype, content = 0, memoryview(b"")
    shape: tuple[int, ...] = ()
    values: dict[int, list[memoryview]] = {}
    for number, wire, value in fields(message):
        if number == 1 and isinstance(value, int):
            dtype = value
        elif number == 2 and isinstance(value, memoryview):
            shape = read_shape(value, what)
        elif number == CONTENT and isinstance(value, memoryview):
            content = value
        elif isinstance(value, int):
            values.setdefault(number, []).append(memoryview(varint(value)))
        elif wire in (BYTES, WIRES.get(number)):
            values.setdefault(number, []).append(value)
    datatype = DATATYPES.get(dtype)
    if datatype is None:
        raise InvalidInput(f"{what} has the dtype {dtype}, which is not read.", help="Send numbers, flags or text.")
    return _Tensor(datatype, shape, content, values.get(VALUES[datatype], []))


def read_shape(message: memoryview, what: str) -> tuple[int, ...]:
    """A TensorShapeProto."""
    sizes = []
    for number, wire, value in fields(message):
        if number == 2 and isinstance(value, memoryview):
            sizes.append(next((signed(size) for k, _, size in fields(value) if k == 1 and isinstance(size, int)), 0))
        elif number == 3 and wire == VARINT and value:
            raise InvalidInput(f"{what} has no shape.", help="Give the size of each dimension.")
    return tuple(sizes)


def read_array(tensor: _Tensor, what: str) -> Array:
    """The array of a tensor. Raises InvalidInput."""
    datatype, shape, content, values = tensor
    if len(content):
        if datatype == "BYTES":
            raise InvalidInput(f"{what} has text in tensor_content.", help="Send it in string_val.")
        return tensors.read_raw(datatype, shape, content, what)
    size = tensors.count(shape, what)
    array = read_values(datatype, values, what)
    if len(array) > size:
        raise InvalidInput(
            f"{what} has {len(array)} values, but its shape {tensors.show_shape(shape)} takes {size}.",
            help="Make the shape match the data.",
        )
    return fill(array, size, what).reshape(shape)


def read_values(datatype: str, values: Sequence[memoryview], what: str) -> Array:
    """The elements in the field of their type."""
    if datatype not in ("FP16", "BF16"):
        return read_elements(datatype, list(values), what)
    bits = read_varints(b"".join(values), what).astype("<u2")
    return tensors.widen_bf16(bits) if datatype == "BF16" else bits.view(DTYPES["FP16"])


def fill(array: Array, size: int, what: str) -> Array:
    """The array, its last element repeated until there are `size`; zeros when there is none."""
    missing = size - len(array)
    if not missing:
        return array
    if size * array.itemsize > MAX_FILLED:
        raise InvalidInput(f"{what} has {len(array)} values, but its shape takes {size}.", help="Send all of them.")
    if array.dtype == object:
        last: Any = tensors.objects([array[-1] if len(array) else ""])
    else:
        last = array[-1:] if len(array) else np.zeros(1, array.dtype)
    return np.concatenate([array, np.repeat(last, missing)])


def write_tensor(datatype: str, array: Array) -> bytes:
    """A TensorProto."""
    sizes = b"".join(delimited(2, integer(1, size)) for size in array.shape)
    head = integer(1, TYPES[datatype]) + delimited(2, sizes)
    if datatype != "BYTES":
        return head + delimited(CONTENT, tensors.write_raw(datatype, array))
    return head + b"".join(delimited(8, tensors.to_bytes(element)) for element in array.reshape(-1).tolist())
