"""HTTP/2 frames (RFC 9113): numbers, layouts, the small frames we write, and what a request's fields may be.

Data flow: constants and pure functions only; `http2.py` reads frames, `http2_output.py` sends them.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from inferry.gateway.hpack import Field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = struct.Struct(">IBI")
"""Length (24 bits) and type (8 bits), flags, stream."""
HEADER_SIZE = HEADER.size

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0x0, 0x1, 0x2, 0x3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 0x5, 0x6, 0x7, 0x8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x9, 0xB

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)

DEFAULT_WINDOW = 65_535
MAX_WINDOW = (1 << 31) - 1
LEAST_FRAME = 1 << 14
MOST_FRAME = (1 << 24) - 1

_SETTING = struct.Struct(">HI")
_PAIR = struct.Struct(">II")
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"[^\0\r\n]*")
_HOP_BY_HOP = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))


class ConnectionFault(Exception):
    """The connection must end with GOAWAY and this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class StreamFault(Exception):
    """One stream must end with RST_STREAM and this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Request(NamedTuple):
    """A request's fields. `length` is its content-length, -1 when it has none."""

    method: bytes
    path: bytes
    fields: list[Field]
    length: int


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return HEADER.pack(len(payload) << 8 | kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The settings of a frame in its order. Raises ConnectionFault."""
    if len(payload) % _SETTING.size:
        raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of an odd size")
    return [(number, value) for number, value in _SETTING.iter_unpack(payload)]


def reset(stream: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def goaway(last: int, code: int, reason: str = "") -> bytes:
    """A GOAWAY frame: `last` is the highest stream that was or may still be answered."""
    return frame(GOAWAY, 0, 0, _PAIR.pack(last, code) + reason.encode())


def read_request(fields: list[Field]) -> Request:
    """What a request's fields say. Raises StreamFault when it is malformed (RFC 9113, 8.1 to 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    plain: list[Field] = []
    length = -1
    for name, value in fields:
        if name[:1] == b":":
            if plain or name not in _PSEUDO or name in pseudo:
                raise StreamFault(PROTOCOL_ERROR)
            pseudo[name] = value
        else:
            check_field(name, value)
            if name == b"content-length":
                if not value.isdigit() or len(value) > 15 or length not in (-1, int(value)):
                    raise StreamFault(PROTOCOL_ERROR)
                length = int(value)
            plain.append((name, value))
    if not (pseudo.get(b":method") and pseudo.get(b":scheme") and pseudo.get(b":path")):
        raise StreamFault(PROTOCOL_ERROR)
    return Request(pseudo[b":method"], pseudo[b":path"], plain, length)


def check_field(name: bytes, value: bytes) -> None:
    """Raise StreamFault unless this field may stand behind the pseudo fields, or in trailers."""
    if (
        name[:1] == b":"
        or not _NAME.fullmatch(name)
        or not _VALUE.fullmatch(value)
        or value != value.strip(b" \t")
        or name in _HOP_BY_HOP
        or (name == b"te" and value != b"trailers")
    ):
        raise StreamFault(PROTOCOL_ERROR)
