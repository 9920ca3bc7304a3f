"""Protocol Buffers without a schema: to look into an ONNX file, and to read and write gRPC messages.

Data flow: bytes of one message -> `fields` -> (number, wire type, value) in file order;
a length-delimited value is a memoryview into the same buffer, so nothing is copied and
gigabytes of weights are skipped, not read. The other way, `varint`, `delimited` and `integer`
write fields, which are joined to a message.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_FIXED = {FIXED64: 8, FIXED32: 4}


class WireError(ValueError):
    """The bytes are not a protobuf message, or end too early."""


def read_varint(buffer: bytes | memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends. Raises WireError."""
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


def field_at(buffer: memoryview, at: int) -> tuple[int, int, int | memoryview, int]:
    """The field that begins at `at`: number, wire type, value, and where it ends. Raises WireError."""
    key, at = read_varint(buffer, at)
    number, wire = key >> 3, key & 7
    if number == 0:
        raise WireError("field number 0")
    if wire == VARINT:
        value, at = read_varint(buffer, at)
        return number, wire, value, at
    if wire == BYTES:
        size, at = read_varint(buffer, at)
    elif wire in _FIXED:
        size = _FIXED[wire]
    else:
        raise WireError(f"wire type {wire}")
    end = at + size
    if end > len(buffer):
        raise WireError("ends inside a field")
    return number, wire, buffer[at:end], end


def fields(buffer: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """The fields of one message. Raises WireError where it stops being one."""
    at, end = 0, len(buffer)
    while at < end:
        number, wire, value, at = field_at(buffer, at)
        yield number, wire, value


def submessages(buffer: memoryview, number: int) -> Iterator[memoryview]:
    """The length-delimited values of one field number."""
    for found, wire, value in fields(buffer):
        if found == number and wire == BYTES:
            assert isinstance(value, memoryview)
            yield value


def signed(value: int) -> int:
    """A varint's value as the int32 or int64 that was written."""
    return value - (1 << 64) if value >> 63 else value


def text(buffer: memoryview) -> str:
    """A string field's value; undecodable bytes are shown escaped."""
    return bytes(buffer).decode("utf-8", "backslashreplace")


def varint(value: int) -> bytes:
    """A number as a varint; a negative one as its 64-bit two's complement."""
    value &= (1 << 64) - 1
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(number: int, data: bytes) -> bytes:
    """A field of bytes, text (as UTF-8) or a message."""
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def integer(number: int, value: int) -> bytes:
    """A field of a whole number or a flag."""
    return varint(number << 3 | VARINT) + varint(value)
