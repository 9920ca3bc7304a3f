"""gRPC over HTTP/2: what a call's fields ask, the framing of messages, and statuses.

Data flow: fields of a request -> `Server.recognise` -> Asked, shared by all calls with equal fields
-> the method's opener -> one Rpc for each call, which gets whole messages and answers with messages
and, at its end, a status. What is wrong with a call becomes the status of that call.
"""

from __future__ import annotations

import re
import struct
import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import quote

from inferry.errors import InferryError, InternalError, InvalidInput, RequestTimeout, TooLarge, Unsupported
from inferry.gateway.core import Core
from inferry.gateway.head import Head
from inferry.gateway.hpack import Field, block_of
from inferry.gateway.http2_control import STREAM_WINDOW, Control, Opener
from inferry.gateway.http2_frames import Request
from inferry.gateway.http2_output import Answer, Sender, Stream
from inferry.types import frames
from inferry.types.protobuf import WireError, fields, text

PREFIX = struct.Struct(">BI")
MAX_HEADS = 256
MAX_TARGET = 512
PEEK = 64 << 10
MAX_MESSAGE_TEXT = 2000

CONTENT: Field = (b"content-type", b"application/grpc")
ENCODINGS: Field = (b"grpc-accept-encoding", b"identity,deflate,gzip")
HEAD = block_of((b":status", b"200"), CONTENT)
TAIL = block_of((b"grpc-status", b"0"))
OK = Answer(HEAD, TAIL)
TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
ENCODED = frames.FLAG_GZIP | frames.FLAG_DEFLATE
FLAGS = {b"identity": 0, b"gzip": frames.FLAG_GZIP, b"deflate": frames.FLAG_DEFLATE}
STATUS_OF_HTTP = {
    400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 409: 9, 413: 8, 422: 9, 429: 8, 503: 14, 504: 4,
}  # fmt: skip


class Asked:
    """What the fields of a call say, with the Heads that were made for it by how its messages begin."""

    __slots__ = ("authorization", "flags", "heads", "timeout")

    def __init__(self, request: Request) -> None:
        self.authorization = b""
        self.flags = 0
        self.timeout = 0.0
        self.heads: dict[tuple[int, bytes], Head] = {}
        for name, value in request.fields:
            if name == b"authorization":
                self.authorization = self.authorization or value
            elif name == b"grpc-timeout":
                self.timeout = read_timeout(value)
            elif name == b"grpc-encoding":
                self.flags = read_encoding(value)


Method = Callable[["Server", Asked], Opener]
Chunk = bytes | memoryview


class Server:
    """What all gRPC connections share."""

    def __init__(
        self,
        core: Core,
        methods: Mapping[bytes, Method],
        max_message: int,
        head_timeout_s: float,
        body_timeout_s: float,
    ) -> None:
        self.core = core
        self.methods = methods
        self.max_message = max_message
        self.head_timeout_s = head_timeout_s
        self.body_timeout_s = body_timeout_s
        self.connections: set[Control] = set()

    def recognise(self, request: Request) -> Opener:
        """The opener of streams for calls with these fields."""
        kind = next((value for name, value in request.fields if name == b"content-type"), b"")
        if not re.fullmatch(rb"application/grpc(?:[+;].*)?", kind):
            return partial(NoCall, b"415")
        if request.method != b"POST":
            return partial(NoCall, b"405")
        method = self.methods.get(request.path)
        try:
            if method is None:
                raise Unsupported(
                    f"There is no method {request.path.decode('latin-1')[:100]!a}.",
                    help="Ask the reflection service which there are.",
                )
            asked = Asked(request)
        except InferryError as error:
            return partial(Refused, error)
        return method(self, asked)


def read_timeout(value: bytes) -> float:
    """A grpc-timeout in seconds. Raises InvalidInput."""
    match = TIMEOUT.fullmatch(value)
    if match is None:
        raise InvalidInput("The field grpc-timeout is not a time.", help="For example: grpc-timeout: 500m")
    return max(1e-6, int(match[1]) * UNITS[match[2]])


def read_encoding(value: bytes) -> int:
    """The frames.FLAG_* of a grpc-encoding. Raises Unsupported."""
    flags = FLAGS.get(value)
    if flags is None:
        raise Unsupported("This grpc-encoding is not supported.", help="Use gzip, deflate or identity.")
    return flags


def after_start(waited_ms: int) -> Answer:
    """An answer that tells for how long its request waited for a replica to start."""
    return Answer(block_of((b":status", b"200"), CONTENT, (b"x-inferry-cold-start", b"%d" % waited_ms)), TAIL)


# statuses


def percent(message: str) -> bytes:
    """A grpc-message: UTF-8 with all that is not printable ASCII percent-encoded."""
    return quote(message[:MAX_MESSAGE_TEXT], safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}").encode()


def status_fields(code: int, message: str) -> list[Field]:
    """The fields of a status."""
    return [(b"grpc-status", b"%d" % code), (b"grpc-message", percent(message).strip())]


def error_fields(error: InferryError) -> list[Field]:
    """The fields of an error."""
    found = status_fields(error.grpc, error.sentence())
    if error.retry_after is not None:
        found.append((b"grpc-retry-pushback-ms", b"%d" % max(1, round(error.retry_after * 1000))))
    if isinstance(error, Unsupported):
        found.append(ENCODINGS)
    return found


def read_refusal(reply: frames.Reply) -> tuple[int, str]:
    """Code and message of a replica's refusal, a google.rpc.Status; user code runs where it comes from."""
    code, message = STATUS_OF_HTTP.get(reply.status, 13), ""
    try:
        for number, _, value in fields(memoryview(reply.body)):
            if number == 1 and isinstance(value, int) and 1 <= value <= 16:
                code = value
            elif number == 2 and isinstance(value, memoryview):
                message = text(value)
    except WireError:
        message = "The model's process did not say why."
    return code, message


# messages


def inflate(body: bytes, flags: int, limit: int) -> bytes:
    """The first `limit` bytes of a compressed message, or all when it is shorter. Raises InvalidInput."""
    try:
        return zlib.decompressobj(31 if flags == frames.FLAG_GZIP else 15).decompress(body, limit)
    except zlib.error:
        raise InvalidInput("The message is not valid for its grpc-encoding.", help="Send it uncompressed.") from None


class Rpc(Stream):
    """A gRPC call: collects messages, ends with a status."""

    backlog: list[Chunk] | None = None  # what came while no message could be taken
    begun = False  # the fields before the first message are sent
    chunks: list[Chunk] | None = None  # the beginning of a message
    ended = False  # the client sends no more
    limit = 0  # of a message, in bytes
    need = 0
    size = 0

    def __init__(self, server: Server, asked: Asked, connection: Sender, id: int) -> None:
        Stream.__init__(self, connection, id, STREAM_WINDOW)
        self.server = server
        self.asked = asked

    @abstractmethod
    def message(self, body: bytes, flags: int) -> None:
        """A whole message; `flags`: how it is compressed."""

    def finished(self) -> None:
        """The client sends no more."""

    def ready(self) -> bool:
        """Whether a message can be taken now."""
        return True

    def received(self, data: bytes, last: int) -> None:
        """Cut the client's bytes into messages."""
        self.ended = self.ended or bool(last)
        if self.backlog is not None:
            self.backlog.append(data)
        else:
            self._advance(memoryview(data))

    def resume(self) -> None:
        """Go on with what waits, now that a message can be taken again."""
        if self.backlog is not None and self.ready():
            waiting, self.backlog = self.backlog, None
            self._advance(memoryview(waiting[0] if len(waiting) == 1 else b"".join(waiting)))
            self.connection.grant(self)

    def _advance(self, data: memoryview) -> None:
        while data and self.alive():
            if not self.ready():
                self.backlog = [data]
                return
            data = self._collect(data)
        if self.ended and self.alive():
            if self.chunks is not None:
                self.fail(InvalidInput("The call ends inside a message.", help="Send the whole of it."))
            else:
                self.finished()

    def takes(self) -> bool:
        """No more than a window is kept of what cannot be taken."""
        return self.backlog is None

    def alive(self) -> bool:
        """Whether the stream can still be answered."""
        return not self.ending and self.connection.streams.get(self.id) is self

    def _collect(self, data: memoryview) -> memoryview:
        """Add bytes to the message under way; hand it on when it is complete. What is left of them."""
        if self.chunks is None:
            stop = PREFIX.size + int.from_bytes(data[1:5], "big")
            if stop <= len(data):  # all here, as nearly always
                try:
                    self._announced(stop - PREFIX.size)
                except InferryError as error:
                    self.fail(error)
                else:
                    self._hand_on(data[0], bytes(data[PREFIX.size : stop]))
                return data[stop:]
            self.chunks, self.size, self.need = [], 0, PREFIX.size
        if self.need == PREFIX.size:
            data = memoryview(b"".join((*self.chunks, data))) if self.chunks else data
            self.chunks, self.size = [], 0
            if len(data) < PREFIX.size:
                self.chunks.append(data)
                return data[:0]
            try:
                self.need = PREFIX.size + 1 + self._announced(int.from_bytes(data[1:5], "big"))
            except InferryError as error:
                self.fail(error)
                return data[:0]
            self.chunks.append(data[:1])
            self.size = PREFIX.size + 1
            data = data[PREFIX.size :]
        take = data[: self.need - self.size]
        self.chunks.append(take)
        self.size += len(take)
        if self.size == self.need:
            flag, *pieces = self.chunks
            self.chunks = None
            self._hand_on(flag[0], b"".join(pieces))
        return data[len(take) :]

    def _announced(self, size: int) -> int:
        """A message begins. Raises when it may not come."""
        limit = self.limit or self.server.max_message
        if size > limit:
            raise TooLarge(f"The message of {size} bytes is over the limit of {limit}.", help="Send less in one.")
        return size

    def plain(self, body: bytes, flags: int) -> bytes:
        """A message as it was before it was compressed. Raises InvalidInput or TooLarge."""
        if not flags & ENCODED:
            return body
        found = inflate(body, flags, self.limit + 1)
        if len(found) > self.limit:
            raise TooLarge(f"The unpacked message is over {self.limit} bytes.", help="Send less in one.")
        return found

    def _hand_on(self, flag: int, body: bytes) -> None:
        flags = self.asked.flags if flag == 1 else 0
        if flag > 1 or (flag and not flags):
            self.fail(InternalError("A message is marked as compressed, but no grpc-encoding says how."))
            return
        self.message(body, flags)

    # answers

    def reply(self, body: bytes) -> None:
        """One message."""
        if not self.begun:
            self.begun = True
            self.connection.start(self, HEAD)
        self.connection.send(self, PREFIX.pack(0, len(body)), body)

    def end(self, tail: list[Field]) -> None:
        """The status, with nothing before it or behind what was sent."""
        lead = [] if self.begun else [(b":status", b"200"), CONTENT]
        self.connection.end(self, block_of(*lead, *tail))

    def fail(self, error: InferryError) -> None:
        """End with an error."""
        if self.alive():
            self.end(error_fields(error))

    def overdue(self) -> None:
        """The rest of a message did not come."""
        self.fail(RequestTimeout("The request did not arrive in time.", help="Send it faster, or in smaller parts."))


# what is no call


class Refused(Stream):
    """A call that is refused for its fields."""

    def __init__(self, error: InferryError, connection: Sender, id: int) -> None:
        Stream.__init__(self, connection, id, STREAM_WINDOW)
        self.error = error
        connection.loop.call_soon(self._answer)

    def received(self, data: bytes, last: int) -> None:
        """Nothing that it sends matters."""

    def _answer(self) -> None:
        if self.connection.streams.get(self.id) is self:
            self.connection.end(self, block_of((b":status", b"200"), CONTENT, *error_fields(self.error)))


class NoCall(Stream):
    """An HTTP request that is no gRPC call."""

    def __init__(self, status: bytes, connection: Sender, id: int) -> None:
        Stream.__init__(self, connection, id, STREAM_WINDOW)
        self.status = status
        connection.loop.call_soon(self._answer)

    def received(self, data: bytes, last: int) -> None:
        """Nothing that it sends matters."""

    def _answer(self) -> None:
        if self.connection.streams.get(self.id) is self:
            self.connection.end(self, block_of((b":status", self.status)))
