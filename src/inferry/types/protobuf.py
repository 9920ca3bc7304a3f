"""Protocol Buffers without a schema: just enough to look into an ONNX file.

Data flow: bytes of one message -> `fields` -> (number, wire type, value) in file order;
a length-delimited value is a memoryview into the same buffer, so nothing is copied and
gigabytes of weights are skipped, not read.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_FIXED = {FIXED64: 8, FIXED32: 4}


class WireError(ValueError):
    """The bytes are not a protobuf message, or end too early."""


def _varint(buffer: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(buffer):
            raise WireError("ends inside a number")
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise WireError("number too long")


def fields(buffer: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """The fields of one message. Raises WireError where it stops being one."""
    at, end = 0, len(buffer)
    while at < end:
        key, at = _varint(buffer, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise WireError("field number 0")
        if wire == VARINT:
            value, at = _varint(buffer, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = _varint(buffer, at)
        elif wire in _FIXED:
            size = _FIXED[wire]
        else:
            raise WireError(f"wire type {wire}")
        if at + size > end:
            raise WireError("ends inside a field")
        yield number, wire, buffer[at : at + size]
        at += size


def submessages(buffer: memoryview, number: int) -> Iterator[memoryview]:
    """The length-delimited values of one field number."""
    for found, wire, value in fields(buffer):
        if found == number and wire == BYTES:
            assert isinstance(value, memoryview)
            yield value


def text(buffer: memoryview) -> str:
    """A string field's value; undecodable bytes are shown escaped."""
    return bytes(buffer).decode("utf-8", "backslashreplace")
