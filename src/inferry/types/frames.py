"""Frames: what gateway, control and replicas say to each other over a stream socket.

    request: u32 length, u64 id, u8 kind, u8 door, u16 flags, u32 json_size, u64 deadline,
             u8 name_size, u8 version_size, name, version, body
    reply:   u32 length, u64 id, u8 kind, u8 content, u16 status, u32 json_size,
             u32 queue_us, u32 predict_us, u16 batch, u16 rows, body

`length` counts all that follows it. `deadline` is CLOCK_MONOTONIC microseconds (0: none).
`json_size` is the Inference-Header-Content-Length (0: the body is all JSON). Data only:
nothing that could run code ever crosses a socket.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

REQUEST = struct.Struct("<IQBBHIQ")
REPLY = struct.Struct("<IQBBHIIIHH")

INFER, STATUS, STOP, CANCEL = 1, 2, 3, 4  # kinds of request; CANCEL: nobody waits for the request of that id
RESULT, STATUS_REPLY, PART = 16, 17, 18  # kinds of reply; PART: one piece of an answer that goes on

# Which codec reads the body.
DOOR_OIP, DOOR_PLAIN = 1, 2
DOOR_GRPC = 3  # Open Inference Protocol, protobuf
DOOR_PREDICT, DOOR_CLASSIFY, DOOR_REGRESS = 4, 5, 6  # KServe v1 and TensorFlow Serving, JSON
DOOR_MLFLOW, DOOR_MLFLOW_CSV = 7, 8  # MLflow's scoring server
DOOR_TFS = 9  # TensorFlow Serving's Predict, protobuf

FLAG_GZIP, FLAG_DEFLATE = 1, 2  # the body's Content-Encoding
FLAG_STREAM = 4  # who asked takes an answer in parts

# A reply's content type; END: the parts before it were all (its body is empty unless it is an error's).
CONTENT_END, CONTENT_JSON, CONTENT_BINARY, CONTENT_PROTO = 0, 1, 2, 3

MAX_FRAME = 1 << 30


class Request(NamedTuple):
    """A request frame. `name` and `version` (as text) are what the client asked for."""

    id: int
    kind: int
    door: int
    flags: int
    json_size: int
    deadline: int
    name: bytes
    version: bytes
    body: bytes


class Reply(NamedTuple):
    """A reply frame. Times in microseconds; `rows` and `batch` are for meters."""

    id: int
    kind: int
    content: int
    status: int
    json_size: int
    queue_us: int
    predict_us: int
    batch: int
    rows: int
    body: bytes


def pack_request(
    id: int, kind: int, door: int = 0, flags: int = 0, json_size: int = 0, deadline: int = 0,
    name: bytes = b"", version: bytes = b"", body: bytes = b"",
) -> bytes:  # fmt: skip
    """One request frame as bytes."""
    target = bytes((len(name), len(version))) + name + version
    size = REQUEST.size - 4 + len(target) + len(body)
    return b"".join((REQUEST.pack(size, id, kind, door, flags, json_size, deadline), target, body))


def pack_reply(
    id: int, kind: int, content: int = CONTENT_JSON, status: int = 200, json_size: int = 0,
    queue_us: int = 0, predict_us: int = 0, batch: int = 0, rows: int = 0, body: bytes = b"",
) -> bytes:  # fmt: skip
    """One reply frame as bytes."""
    size = REPLY.size - 4 + len(body)
    head = REPLY.pack(
        size, id, kind, content, status, json_size,
        min(queue_us, 0xFFFFFFFF), min(predict_us, 0xFFFFFFFF), min(batch, 0xFFFF), min(rows, 0xFFFF),
    )  # fmt: skip
    return head + body


class FrameError(Exception):
    """The stream does not hold frames: the connection must be closed."""


def split_requests(buffer: bytearray) -> Iterator[Request]:
    """Take all complete request frames off the front of `buffer`."""
    start, have = 0, len(buffer)
    head = REQUEST.size
    try:
        while have - start >= head + 2:
            size, id, kind, door, flags, json_size, deadline = REQUEST.unpack_from(buffer, start)
            if size > MAX_FRAME or size < head - 2:
                raise FrameError(f"frame of {size} bytes")
            end = start + 4 + size
            if end > have:
                break
            at = start + head
            n, v = buffer[at], buffer[at + 1]
            at += 2
            if at + n + v > end:
                raise FrameError("name past the frame's end")
            with memoryview(buffer) as view:
                name, version = bytes(view[at : at + n]), bytes(view[at + n : at + n + v])
                body = bytes(view[at + n + v : end])
            start = end
            yield Request(id, kind, door, flags, json_size, deadline, name, version, body)
    finally:
        if start:
            del buffer[:start]


def split_replies(buffer: bytearray) -> Iterator[Reply]:
    """Take all complete reply frames off the front of `buffer`."""
    start, have = 0, len(buffer)
    head = REPLY.size
    try:
        while have - start >= head:
            size, id, kind, content, status, json_size, queue, predict, batch, rows = REPLY.unpack_from(buffer, start)
            if size > MAX_FRAME or size < head - 4:
                raise FrameError(f"frame of {size} bytes")
            end = start + 4 + size
            if end > have:
                break
            with memoryview(buffer) as view:
                body = bytes(view[start + head : end])
            start = end
            yield Reply(id, kind, content, status, json_size, queue, predict, batch, rows, body)
    finally:
        if start:
            del buffer[:start]
