"""ModelStreamInfer: many predictions over one call, answered as they finish.

Data flow: each message -> its id and parameters, read here -> the core, as a request that takes
parts -> ModelStreamInferResponse: the replica's message with `triton_final_response` put behind it
(the fields of a message may come in any order), or an error that ends this prediction only.
Requests without an answer are bounded; past the bound the client's window stays shut.
"""

from __future__ import annotations

import asyncio
import time

from inferry.errors import DeadlineExceeded, InferryError, Overloaded, Unavailable
from inferry.gateway.grpc import ENCODED, Asked, Rpc, Server, inflate, read_refusal
from inferry.gateway.grpc_infer import PEEK, Door, find_head
from inferry.gateway.head import Head
from inferry.gateway.http2_output import Sender
from inferry.gateway.live import LiveRevision, Pending
from inferry.types import frames
from inferry.types.protobuf import BYTES, WireError, delimited, fields, integer, submessages

MAX_UNANSWERED = 256
UNREAD_PAUSE = 4 << 20
UNREAD_LIMIT = 64 << 20

ERROR, RESPONSE = 1, 2  # the fields of a ModelStreamInferResponse
NAME, VERSION, ID, PARAMETERS = 1, 2, 3, 4  # of a ModelInferResponse, and of a request
WANTS_LAST = b"triton_enable_empty_final_response"


def _final(value: int) -> bytes:
    return delimited(PARAMETERS, delimited(1, b"triton_final_response") + delimited(2, integer(1, value)))


FINAL, NOT_FINAL = _final(1), _final(0)


class StreamInfer(Rpc):
    """One call of ModelStreamInfer."""

    leaving = False
    timer: asyncio.TimerHandle | None = None

    def __init__(self, door: Door, server: Server, asked: Asked, connection: Sender, id: int) -> None:
        Rpc.__init__(self, server, asked, connection, id)
        self.door = door
        self.waiting: set[Prediction] = set()
        if asked.timeout:
            self.timer = connection.loop.call_later(asked.timeout, self._late)

    def _announced(self, size: int) -> int:
        self.server.core.ring.check(self.asked.authorization, time.time())
        return super()._announced(size)

    def ready(self) -> bool:
        """Whether one more prediction can be taken."""
        return len(self.waiting) < MAX_UNANSWERED and self.queued < UNREAD_PAUSE and not self.leaving

    def owes(self) -> bool:
        """Only the rest of a message: between messages the client has time."""
        return self.chunks is not None

    def message(self, body: bytes, flags: int) -> None:
        """One prediction."""
        one = Prediction(self)
        try:
            one.read(inflate(body, flags, PEEK) if flags & ENCODED else body)
            head = find_head(self.asked, self.door, body, flags | frames.FLAG_STREAM, 0.0)
        except InferryError as error:
            self.reply(one.failed(error.sentence()))
            return
        self.waiting.add(one)
        one.pending = self.server.core.submit(one, head, body)

    def finished(self) -> None:
        """The client has sent all it wanted to ask."""
        self._maybe_end()

    def settled(self, one: Prediction) -> None:
        """A prediction is answered."""
        self.waiting.discard(one)
        self.resume()
        self._maybe_end()

    def drained(self) -> None:
        """The client reads again."""
        self.resume()

    def push(self, message: bytes) -> None:
        """Send a message, unless the client leaves too many unread."""
        if self.queued > UNREAD_LIMIT:
            self.fail(Overloaded("The client does not read its answers.", help="Read them as they come."))
        elif self.alive():
            self.reply(message)

    def _maybe_end(self) -> None:
        if not self.waiting and self.alive():
            if self.leaving:
                self.fail(Unavailable("The server stops.", help="Open a new stream."))
            elif self.ended and self.backlog is None and self.chunks is None:
                self._stop()
                self.end([(b"grpc-status", b"0")])

    def leave(self) -> None:
        """The server stops: answer what was asked, take no more."""
        self.leaving = True
        self._maybe_end()

    def fail(self, error: InferryError) -> None:
        """End the call; what waits is dropped."""
        self.aborted()
        super().fail(error)

    def _late(self) -> None:
        self.timer = None
        self.fail(DeadlineExceeded("The stream was open for as long as its deadline allows."))

    def _stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def aborted(self) -> None:
        """Nobody waits any more."""
        self._stop()
        for one in self.waiting:
            if one.pending is not None:
                self.server.core.cancel(one.pending)
        self.waiting.clear()


class Prediction:
    """One request of a stream: a core.Asker."""

    __slots__ = ("id", "pending", "stream", "wants_last")

    def __init__(self, stream: StreamInfer) -> None:
        self.stream = stream
        self.pending: Pending | None = None
        self.id = b""
        self.wants_last = False

    def read(self, message: bytes) -> None:
        """Note the id, and whether a last response without outputs is wanted."""
        try:
            for number, wire, value in fields(memoryview(message)):
                if wire == BYTES and isinstance(value, memoryview):
                    if number == ID:
                        self.id = bytes(value)
                    elif number == PARAMETERS and bytes(next(submessages(value, 1), b"")) == WANTS_LAST:
                        chosen = next(submessages(value, 2), memoryview(b""))
                        self.wants_last = any(kind == 1 and flag for kind, _, flag in fields(chosen))
        except WireError:
            return  # the codec says what is wrong

    def failed(self, message: str) -> bytes:
        """The response that says why there is no answer."""
        return delimited(ERROR, message.encode(errors="replace")) + delimited(RESPONSE, delimited(ID, self.id))

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> bytes | None:
        """The only part, the end behind all parts, or a refusal."""
        if reply.status != 200:
            _, message = read_refusal(reply)
            self.stream.push(self.failed(message))
        elif reply.content == frames.CONTENT_PROTO:
            self.stream.push(delimited(RESPONSE, bytes(reply.body) + FINAL))
        elif self.wants_last:
            named = delimited(NAME, head.endpoint) + delimited(VERSION, revision.version) + delimited(ID, self.id)
            self.stream.push(delimited(RESPONSE, named + FINAL))
        self.stream.settled(self)
        return b"" if reply.content == frames.CONTENT_PROTO else None

    def part(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:  # noqa: ARG002
        """One part of an answer that goes on."""
        self.stream.push(delimited(RESPONSE, bytes(reply.body) + NOT_FINAL))

    def refuse(self, head: Head, error: InferryError) -> None:  # noqa: ARG002
        """An error of the gateway's own."""
        self.stream.push(self.failed(error.sentence()))
        self.stream.settled(self)
