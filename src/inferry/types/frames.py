"""Frames: what gateway, control and replicas say to each other over a stream socket.

    request: u32 length, u64 id, u8 kind, u8 door, u16 flags, u32 json_size, u64 deadline,
             u8 name_size, u8 version_size, name, version, with MEDIA u16 size and media, body
    reply:   u32 length, u64 id, u8 kind, u8 content, u16 status, u32 json_size,
             u32 queue_us, u32 predict_us, u16 batch, u16 rows, body, and with TOLD u32 read, u32 written

`length` counts all that follows it. `deadline` is CLOCK_MONOTONIC microseconds (0: none); of STATUS and STOP it is
the epoch of the control process that sends them, and a STOP of an older one than was heard of is not obeyed.
`json_size` is the Inference-Header-Content-Length (0: the body is all JSON). Data only:
nothing that could run code ever crosses a socket.

Large bodies do not cross it either. A request with FLAG_SEGMENT has a SEGMENT struct in front of
its body: a segment of shared memory, whose descriptor comes along when FLAG_NEW is set. With a
size, the body lies there; and an answer may be written there, which a reply tells by IN_SEGMENT.
Every request gets exactly one RESULT, whatever becomes of it, so a segment is never in doubt.

Between machines the stream is TLS over TCP. There are no segments then, and `deadline` is how many microseconds are
left, since each machine has a clock of its own.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator

import msgspec

REQUEST = struct.Struct("<IQBBHIQ")
REPLY = struct.Struct("<IQBBHIIIHH")
SEGMENT = struct.Struct("<QQQ")  # a segment's id, where the body begins in it and its size (0: it follows here)
ANSWER = struct.Struct("<Q")  # the size of an answer at the segment's start
MEDIA = struct.Struct("<H")
TOKENS = struct.Struct("<II")  # what a language model read and wrote, behind a reply's body

# Kinds of request. CANCEL: nobody waits for the request of that id. RELEASE: the segment of that id is over.
# RENEW: show the certificate in the body (JSON of a security.tls.Identity) from now on.
INFER, STATUS, STOP, CANCEL, RELEASE, RENEW = 1, 2, 3, 4, 5, 6
RESULT, STATUS_REPLY, PART = 16, 17, 18  # kinds of reply; PART: one piece of an answer that goes on

# Which codec reads the body.
DOOR_OIP, DOOR_PLAIN = 1, 2
DOOR_GRPC = 3  # Open Inference Protocol, protobuf
DOOR_PREDICT, DOOR_CLASSIFY, DOOR_REGRESS = 4, 5, 6  # KServe v1 and TensorFlow Serving, JSON
DOOR_MLFLOW, DOOR_MLFLOW_CSV = 7, 8  # MLflow's scoring server
DOOR_TFS = 9  # TensorFlow Serving's Predict, protobuf
DOOR_FILE, DOOR_FORM, DOOR_CSV = 10, 11, 12  # a file of any kind, multipart/form-data, CSV; answered in plain JSON
DOOR_CHAT, DOOR_COMPLETIONS, DOOR_EMBEDDINGS = 13, 14, 15  # OpenAI
# A body of any type, for the package of another system as its own server would hand it over: TorchServe's
# predictions, Azure ML's score, Hugging Face's endpoints, SageMaker's invocations in other types than MLflow reads.
DOOR_PREDICTIONS, DOOR_SCORE, DOOR_HANDLER, DOOR_INVOKE = 16, 17, 18, 19
POSTED = frozenset((DOOR_PREDICTIONS, DOOR_SCORE, DOOR_HANDLER, DOOR_INVOKE, DOOR_MLFLOW, DOOR_MLFLOW_CSV))
OPENAI = frozenset((DOOR_CHAT, DOOR_COMPLETIONS, DOOR_EMBEDDINGS))  # their bodies name the endpoint

FLAG_GZIP, FLAG_DEFLATE = 1, 2  # the body's Content-Encoding
FLAG_STREAM = 4  # who asked takes an answer in parts
FLAG_SEGMENT, FLAG_NEW = 8, 16  # a segment goes with the request; its descriptor comes along
FLAG_CSV = 32  # who asked wants the answer as CSV
FLAG_MEDIA = 64  # the body's content type goes along, and behind a newline which types who asked accepts
FLAGS_ENCODED = FLAG_GZIP | FLAG_DEFLATE

# A reply's content type; END: the parts before it were all (its body is empty unless it is an error's).
CONTENT_END, CONTENT_JSON, CONTENT_BINARY, CONTENT_PROTO = 0, 1, 2, 3
CONTENT_PNG, CONTENT_JPEG, CONTENT_GIF, CONTENT_WEBP, CONTENT_WAV, CONTENT_PDF, CONTENT_CSV = 4, 5, 6, 7, 8, 9, 10
CONTENT_NAMED = 11  # the body begins with a byte that says how long its content type is, and that type
MEDIA_TYPES = {
    CONTENT_JSON: "application/json", CONTENT_BINARY: "application/octet-stream",
    CONTENT_PNG: "image/png", CONTENT_JPEG: "image/jpeg", CONTENT_GIF: "image/gif", CONTENT_WEBP: "image/webp",
    CONTENT_WAV: "audio/wav", CONTENT_PDF: "application/pdf", CONTENT_CSV: "text/csv; charset=utf-8",
}  # fmt: skip
IN_SEGMENT = 128  # added to the content type: the body is an ANSWER struct
TOLD = 64  # added to the content type: TOKENS follow the body

WORKS, WATCHES = b"W", b"N"  # the first byte of a stream: from who sends requests, from control
CANCELLED = 499  # status of a reply that nobody waits for
ANCILLARY = 1024  # room for descriptors
ROOM = 16 << 10  # a receive always has this much, which a TLS record fits into
TOGETHER = 16  # so many frames are written at once at most, so that the other side begins while this one goes on
BIG = 64 << 10  # bodies from this size on go through shared memory where there is any

MAX_FRAME = 1 << 30
MAX_MEDIA = 512
MEDIA_TYPE = re.compile(rb"[\w.+-]{1,60}/[\w.+-]{1,100}(?: ?; ?[\w.+-]{1,30}=[\w.+:/\"-]{1,80}){0,2}", re.ASCII)


NO_TOKENS = (0, 0)


class Request(msgspec.Struct, gc=False):
    """A request frame. `name` and `version` are what the client asked for."""

    id: int
    kind: int
    door: int
    flags: int
    json_size: int
    deadline: int
    name: str
    version: str
    body: bytes | memoryview
    media: bytes = b""


class Reply(msgspec.Struct, gc=False):
    """A reply frame. Times in microseconds; `rows`, `batch` and `tokens` (read, written) are for meters."""

    id: int
    kind: int
    content: int = CONTENT_JSON
    status: int = 200
    json_size: int = 0
    queue_us: int = 0
    predict_us: int = 0
    batch: int = 0
    rows: int = 0
    body: bytes | memoryview = b""
    tokens: tuple[int, int] = NO_TOKENS


def pack_request(
    id: int, kind: int, door: int = 0, flags: int = 0, json_size: int = 0, deadline: int = 0,
    name: bytes = b"", version: bytes = b"", body: bytes = b"", media: bytes = b"",
) -> bytes:  # fmt: skip
    """One request frame as bytes. `media` goes along when the flags say so."""
    target = bytes((len(name), len(version))) + name + version
    if flags & FLAG_MEDIA:
        target += MEDIA.pack(len(media)) + media
    size = REQUEST.size - 4 + len(target) + len(body)
    return b"".join((REQUEST.pack(size, id, kind, door, flags, json_size, deadline), target, body))


def pack_reply(reply: Reply) -> bytes:
    """One reply frame as bytes."""
    content, body = reply.content, reply.body
    if reply.tokens is not NO_TOKENS and reply.tokens != NO_TOKENS:
        content |= TOLD
        body = b"".join((body, TOKENS.pack(*(min(max(0, count), 0xFFFFFFFF) for count in reply.tokens))))
    size, queue, predict = REPLY.size - 4 + len(body), reply.queue_us, reply.predict_us
    batch, rows = reply.batch, reply.rows
    about = size, reply.id, reply.kind, content, reply.status, reply.json_size
    try:
        head = REPLY.pack(*about, queue, predict, batch, rows)
    except struct.error:  # a figure that is too large for its field
        head = REPLY.pack(
            *about, min(queue, 0xFFFFFFFF), min(predict, 0xFFFFFFFF), min(batch, 0xFFFF), min(rows, 0xFFFF)
        )
    return b"".join((head, body))


class FrameError(Exception):
    """The stream does not hold frames: the connection must be closed."""


def pack_media(content_type: bytes, accept: bytes) -> bytes:
    """What goes in front of a body with FLAG_MEDIA."""
    media = b"\n".join((content_type[:MAX_MEDIA], accept[:MAX_MEDIA]))
    return MEDIA.pack(len(media)) + media


def _media(view: memoryview, at: int, stop: int) -> tuple[bytes, int]:
    """The content type and what is accepted, and where the body begins."""
    begin = at + MEDIA.size
    end = begin + MEDIA.unpack_from(view, at)[0] if begin <= stop else stop + 1
    if end > stop:
        raise FrameError("a content type past the frame's end")
    return bytes(view[begin:end]), end


def named(body: bytes | memoryview) -> tuple[bytes, bytes | memoryview]:
    """The content type of a body with CONTENT_NAMED, and the rest. Raises FrameError for what is none."""
    size = body[0] if len(body) else 0
    content_type = bytes(body[1 : 1 + size])
    if not MEDIA_TYPE.fullmatch(content_type):
        raise FrameError("an answer without a content type")
    return content_type, body[1 + size :]


def _tokens(body: bytes) -> tuple[int, int]:
    if len(body) < TOKENS.size:
        raise FrameError("a body without the tokens it tells of")
    read, written = TOKENS.unpack(body[-TOKENS.size :])
    return read, written


class Inbox:
    """What came from a stream and is not a whole frame yet: one buffer, which sockets receive into in place."""

    def __init__(self, room: int = 1 << 18) -> None:
        self._room = room
        self._buffer = bytearray(room)
        self._start = self._end = 0
        self._target = bytes(2)  # of the latest request, as its frame has it
        self._asked = "", ""

    def _space(self, need: int) -> memoryview:
        """Free bytes at the end, at least `need` of them."""
        left = self._end - self._start
        if not left:
            self._start = self._end = 0
            if len(self._buffer) > max(self._room, need):
                self._buffer = bytearray(self._room)
        if len(self._buffer) - self._end < need:
            buffer = bytearray(max(self._room, left * 2, left + need))
            buffer[:left] = self._buffer[self._start : self._end]
            self._buffer, self._start, self._end = buffer, 0, left
        return memoryview(self._buffer)[self._end :]

    def feed(self, data: bytes) -> None:
        """Bytes that were received elsewhere."""
        self._space(len(data))[: len(data)] = data
        self._end += len(data)

    def receive(self, sock: socket.socket) -> int:
        """Receive once from a socket; how many bytes, 0 at its end. Raises what recv raises."""
        size = sock.recv_into(self._space(ROOM))
        self._end += size
        return size

    def receive_with(self, sock: socket.socket, descriptors: list[int]) -> int:
        """As `receive`; descriptors that came along are added to the list."""
        size, extra, _, _ = sock.recvmsg_into([self._space(ROOM)], ANCILLARY, socket.MSG_DONTWAIT)
        self._end += size
        for level, kind, data in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
        return size

    def first(self) -> bytes:
        """Take one byte that is there."""
        self._start += 1
        return bytes(self._buffer[self._start - 1 : self._start])

    def requests(self) -> Iterator[Request]:
        """All complete request frames. Bodies are copied out. Raises FrameError."""
        buffer, end, head = self._buffer, self._end, REQUEST.size
        view = memoryview(buffer)
        while end - self._start >= head + 2:
            start = self._start
            size, id, kind, door, flags, json_size, deadline = REQUEST.unpack_from(buffer, start)
            if size > MAX_FRAME or size < head - 2:
                raise FrameError(f"frame of {size} bytes")
            stop = start + 4 + size
            if stop > end:
                return
            at = start + head
            if not buffer.startswith(self._target, at):
                self._aim(at, stop)
            at += len(self._target)
            if at > stop:
                raise FrameError("name past the frame's end")
            media = b""
            if flags & FLAG_MEDIA:
                media, at = _media(view, at, stop)
            self._start = stop
            yield Request(id, kind, door, flags, json_size, deadline, *self._asked, bytes(view[at:stop]), media)

    def _aim(self, at: int, stop: int) -> None:
        """Read the target of a frame that ends at `stop`; most requests have the target of the one before."""
        n, v = self._buffer[at], self._buffer[at + 1]
        middle = at + 2 + n
        if middle + v > stop:
            raise FrameError("name past the frame's end")
        name, version = self._buffer[at + 2 : middle], self._buffer[middle : middle + v]
        self._target = bytes(self._buffer[at : middle + v])
        self._asked = name.decode(errors="replace"), version.decode(errors="replace")

    def replies(self) -> Iterator[Reply]:
        """All complete reply frames. Bodies are copied out. Raises FrameError."""
        buffer, end, head = self._buffer, self._end, REPLY.size
        view = memoryview(buffer)
        while end - self._start >= head:
            start = self._start
            size, id, kind, content, status, json_size, queue, predict, batch, rows = REPLY.unpack_from(buffer, start)
            if size > MAX_FRAME or size < head - 4:
                raise FrameError(f"frame of {size} bytes")
            stop = start + 4 + size
            if stop > end:
                return
            body, tokens = bytes(view[start + head : stop]), NO_TOKENS
            self._start = stop
            if content & TOLD:
                content &= ~TOLD
                tokens, body = _tokens(body), body[: -TOKENS.size]
            yield Reply(id, kind, content, status, json_size, queue, predict, batch, rows, body, tokens)
