"""Open Inference Protocol v2 in Protocol Buffers: ModelInferRequest -> Call, outputs -> ModelInferResponse.

Data flow of a request: one pass over the message's own fields tells its id and raw tensors from
its structure (inputs, their datatypes and shapes, wanted outputs). A structure is read and checked
once and remembered by its bytes; most requests then only need their raw tensors turned into arrays.
Tensors come raw (`raw_input_contents`, little-endian, one for each input) or typed
(`InferTensorContents`); the answer mirrors that, raw where a datatype has no typed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from inferry.errors import InferryError, InvalidInput
from inferry.interfaces.codec import Call, Encoded
from inferry.protocols import tensors
from inferry.protocols.forms import grpc_error
from inferry.protocols.grpc_contents import read_contents, write_contents
from inferry.protocols.named import NamedTensors
from inferry.protocols.plans import Plans, Quick, remembered
from inferry.protocols.tensors import Array
from inferry.types.frames import CONTENT_PROTO, Request
from inferry.types.protobuf import (
    BYTES,
    WireError,
    delimited,
    field_at,
    fields,
    read_varint,
    signed,
    submessages,
    text,
    varint,
)
from inferry.types.signature import Signature

ID_TAG, RAW_TAG = 0x1A, 0x3A
TAGS = frozenset(range(0x0A, 0x40, 8))  # fields 1 to 7, all of bytes
NOT_OFFERED = (b"shared_memory_region", b"classification")
HINT = "Compare it with ModelMetadata, and with the protocol's ModelInferRequest."


class _Input(NamedTuple):
    name: str
    datatype: str
    shape: tuple[int, ...]
    contents: memoryview | None


class _Structure(NamedTuple):
    """All of a request but its id and its data."""

    inputs: list[_Input]
    wanted: tuple[tuple[str, bool], ...]


class GrpcOipCodec:
    """Reads and writes the protocol's messages for one signature.

    `borrow`: raw inputs may be views of the body, which holds as long as the call does.
    """

    def __init__(self, signature: Signature, *, borrow: bool = False) -> None:
        self._tensors = NamedTensors(signature)
        self._borrow = borrow
        self._plans = Plans(self._tensors)
        self._heads: dict[tuple[str, str], bytes] = {}
        self._written: dict[tuple[str, str, tuple[int, ...]], bytes] = {}

    # requests

    def decode(self, request: Request) -> Call:
        """A Call from a message. Raises InvalidInput."""
        body = request.body
        try:
            key, id, raw = split(body)
            plan = self._plans.get(key)
            if plan is not None and len(raw) == len(plan.quick):
                inputs = read_quick(plan.quick, body, raw)
                if inputs is not None:
                    call = self._call(request, inputs, plan.rows, id, plan.wanted, binary=True)
                    call.alike, call.views = plan.alike, True
                    return call
            structure = self._structure(key)
            inputs = self._inputs(structure.inputs, body, raw)
        except WireError as error:
            raise InvalidInput(f"The message is not a valid ModelInferRequest: {error}.", help=HINT) from None
        rows = self._tensors.rows(inputs)
        if raw:
            given = [(name, datatype) for name, datatype, _, _ in structure.inputs]
            self._plans.remember(key, given, inputs, rows, structure.wanted, binary=True)
        return self._call(request, inputs, rows, id, structure.wanted, binary=bool(raw) or not structure.inputs)

    def _call(
        self, request: Request, inputs: dict[str, Array], rows: int, id: bytes, wanted: Any, *, binary: bool
    ) -> Call:
        return Call(
            inputs=inputs,
            rows=rows,
            id=id.decode(errors="replace") if id else "",
            name=request.name,
            version=request.version,
            wanted=wanted,
            binary=binary,
        )

    def _structure(self, message: bytes) -> _Structure:
        inputs: list[_Input] = []
        wanted: list[tuple[str, bool]] = []
        seen: set[int] = set()
        for number, wire, value in fields(memoryview(message)):
            if number in (3, 7) or (number <= 2 and number in seen):
                raise WireError("a field twice, or written in an unusual way")
            seen.add(number)
            if wire != BYTES or not isinstance(value, memoryview):
                continue
            if number == 5:
                inputs.append(read_input(value))
            elif number == 6:
                wanted.append((self._wanted(value), True))
        return _Structure(inputs, tuple(wanted))

    def _wanted(self, message: memoryview) -> str:
        name = ""
        for number, wire, value in fields(message):
            if wire == BYTES and isinstance(value, memoryview):
                if number == 1:
                    name = text(value)
                elif number == 2:
                    refuse_parameter(value, "output")
        self._tensors.check_output(name)
        return name

    def _inputs(self, given: list[_Input], body: bytes | memoryview, raw: list[tuple[int, int]]) -> dict[str, Array]:
        """The named arrays, all checks done."""
        if raw and len(raw) != len(given):
            raise InvalidInput(
                f"There are {len(given)} inputs, but {len(raw)} raw_input_contents.", help="Send one for each input."
            )
        view = memoryview(body)
        inputs: dict[str, Array] = {}
        for place, (name, datatype, shape, contents) in enumerate(given):
            if name in inputs:
                raise InvalidInput(f"Input {name!r} is given twice.", help="Give each input once.")
            spec = self._tensors.input(name, datatype)
            what = f"Input {name!r}"
            if raw:
                if contents is not None:
                    raise InvalidInput(f"{what} has both contents and raw contents.", help="Give one of them.")
                start, end = raw[place]
                array = tensors.read_raw(datatype, shape, view[start:end], what, borrow=self._borrow)
            else:
                array = read_contents(datatype, shape, contents, what)
            inputs[name] = self._tensors.fit(array, datatype, spec, raw=True)
        self._tensors.check_complete(inputs)
        return inputs

    # answers

    def encode(self, call: Call, outputs: Any) -> Encoded:
        """A ModelInferResponse."""
        named = self._tensors.outputs(outputs)
        found = [(name, *self._tensors.output(named, name)) for name, _ in call.wanted or [(n, True) for n in named]]
        parts = [self._head(call.name, call.version)]
        if call.id:
            parts.append(delimited(3, call.id.encode()))
        contents = None if call.binary else [write_contents(datatype, array) for _, array, datatype in found]
        if contents is not None and None not in contents:
            for (name, array, datatype), typed in zip(found, contents, strict=True):
                parts.append(delimited(5, describe(name, datatype, array.shape) + delimited(5, typed or b"")))
        else:
            parts += [self._output(name, datatype, array.shape) for name, array, datatype in found]
            for _, array, datatype in found:
                data = tensors.write_raw(datatype, array)
                parts += (b"\x32", varint(len(data)), data)
        return Encoded(CONTENT_PROTO, 0, b"".join(parts))

    def _head(self, name: str, version: str) -> bytes:
        return remembered(
            self._heads, (name, version), lambda: delimited(1, name.encode()) + delimited(2, version.encode())
        )

    def _output(self, name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
        """An output that comes raw, but for its bytes."""
        return remembered(self._written, (name, datatype, shape), lambda: delimited(5, describe(name, datatype, shape)))

    def refuse(self, error: InferryError) -> bytes:
        """The error as a google.rpc.Status."""
        return grpc_error(error)


def describe(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """An InferOutputTensor without contents."""
    sizes = delimited(3, b"".join(map(varint, shape))) if shape else b""
    return delimited(1, name.encode()) + delimited(2, datatype.encode()) + sizes


def split(body: bytes | memoryview) -> tuple[bytes, bytes, list[tuple[int, int]]]:
    """A ModelInferRequest's structure, its id, and where its raw tensors are. Raises WireError."""
    structure: list[bytes | memoryview] = []
    raw: list[tuple[int, int]] = []
    id = b""
    at, kept, end = 0, 0, len(body)
    while at < end:
        tag, begin = body[at], at
        if tag not in TAGS:
            at = field_at(memoryview(body), at)[3]
            continue
        size, at = read_varint(body, at + 1)
        stop = at + size
        if stop > end:
            raise WireError("ends inside a field")
        if tag in (RAW_TAG, ID_TAG):
            if tag == RAW_TAG:
                raw.append((at, stop))
            else:
                id = bytes(body[at:stop])
            if kept < begin:
                structure.append(body[kept:begin])
            kept = stop
        at = stop
    if kept < end:
        structure.append(body[kept:])
    return b"".join(structure), id, raw


def read_quick(
    quick: Sequence[Quick], body: bytes | memoryview, raw: Sequence[tuple[int, int]]
) -> dict[str, Array] | None:
    """The arrays of a known structure, as views of the body; None when a size is not as it was."""
    inputs = {}
    for (name, dtype, size, shape), (start, end) in zip(quick, raw, strict=True):
        if end - start != size:
            return None
        inputs[name] = np.ndarray(shape, dtype, body, start)
    return inputs


def read_input(message: memoryview) -> _Input:
    """An InferInputTensor, or an InferOutputTensor, whose fields are the same. Raises WireError or InvalidInput."""
    name = datatype = ""
    shape: list[int] = []
    contents = None
    for number, wire, value in fields(message):
        if number == 3:
            shape += read_shape(value)
        elif wire == BYTES and isinstance(value, memoryview):
            if number == 1:
                name = text(value)
            elif number == 2:
                datatype = text(value)
            elif number == 4:
                refuse_parameter(value, "input")
            elif number == 5:
                contents = value
    return _Input(name, datatype, tuple(shape), contents)


def read_shape(value: int | memoryview) -> list[int]:
    """Sizes of a shape, packed or one by one."""
    if isinstance(value, int):
        return [signed(value)]
    shape, at = [], 0
    while at < len(value):
        size, at = read_varint(value, at)
        shape.append(signed(size))
    return shape


def refuse_parameter(entry: memoryview, what: str) -> None:
    """Refuse what changes the meaning of a tensor and is not offered."""
    key = next(submessages(entry, 1), None)
    if key is not None and bytes(key) in NOT_OFFERED:
        raise InvalidInput(
            f"An {what} has the parameter {text(key)!r}, which is not offered.", help="Send and take tensors as bytes."
        )
