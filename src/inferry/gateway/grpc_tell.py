"""Calls that tell something: one message in, one out, both as dicts.

Data flow: message -> `Messages.decode` -> a function of the method's own -> `Messages.encode`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from inferry.errors import InferryError, InvalidInput
from inferry.gateway.core import Core
from inferry.gateway.grpc import OK, PREFIX, Asked, Method, Refused, Rpc, Server
from inferry.gateway.http2_output import Sender
from inferry.types.messages import Messages
from inferry.types.protobuf import WireError
from inferry.types.registry import Key

MAX_QUESTION = 64 << 10

Telling = Callable[[Asked, dict[str, Any]], dict[str, Any]]
TellingLater = Callable[[Asked, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Form:
    """The messages of one method, by their full names."""

    messages: Messages
    request: str
    response: str

    def read(self, body: bytes) -> dict[str, Any]:
        """The question. Raises InvalidInput."""
        try:
            return self.messages.decode(self.request, body)
        except WireError as error:
            raise InvalidInput(f"The message is not a valid {self.request}: {error}.", help="Check its type.") from None


@dataclass(frozen=True, kw_only=True)
class Question(Form):
    """One method, and what answers it at once."""

    tell: Telling


@dataclass(frozen=True, kw_only=True)
class LongQuestion(Form):
    """One method, and what answers it after it has asked others."""

    tell: TellingLater


class Tell(Rpc):
    """One call of such a method."""

    limit = MAX_QUESTION

    def __init__(self, question: Question, server: Server, asked: Asked, connection: Sender, id: int) -> None:
        Rpc.__init__(self, server, asked, connection, id)
        self.question = question

    def message(self, body: bytes, flags: int) -> None:
        """Answer it."""
        question = self.question
        try:
            values = question.read(self.plain(body, flags))
            told = question.messages.encode(question.response, question.tell(self.asked, values))
        except InferryError as error:
            self.fail(error)
        else:
            self.connection.finish(self, OK, PREFIX.pack(0, len(told)), told)

    def finished(self) -> None:
        """No message came."""
        self.fail(InvalidInput("The call has no message.", help="Send one."))


class TellLater(Rpc):
    """One call of a method that asks others first."""

    limit = MAX_QUESTION
    asking: asyncio.Task[None] | None = None

    def __init__(self, question: LongQuestion, server: Server, asked: Asked, connection: Sender, id: int) -> None:
        Rpc.__init__(self, server, asked, connection, id)
        self.question = question

    def message(self, body: bytes, flags: int) -> None:
        """Begin to answer it."""
        if self.asking is not None:
            self.fail(InvalidInput("A second message came.", help="Send one for each call."))
            return
        try:
            values = self.question.read(self.plain(body, flags))
        except InferryError as error:
            self.fail(error)
            return
        self.asking = asyncio.ensure_future(self._answer(values))

    def finished(self) -> None:
        """No message came, or it is being answered."""
        if self.asking is None:
            self.fail(InvalidInput("The call has no message.", help="Send one."))

    def fail(self, error: InferryError) -> None:
        """End with an error; nobody need be asked any more."""
        self.aborted()
        super().fail(error)

    def aborted(self) -> None:
        """The client does not wait any more."""
        if self.asking is not None:
            self.asking.cancel()

    async def _answer(self, values: dict[str, Any]) -> None:
        question = self.question
        try:
            told = question.messages.encode(question.response, await question.tell(self.asked, values))
        except InferryError as error:
            super().fail(error)
        else:
            self.connection.finish(self, OK, PREFIX.pack(0, len(told)), told)


def tells(question: Question) -> Method:
    """The method that answers a question."""
    return lambda server, asked: partial(Tell, question, server, asked)


def tells_later(question: LongQuestion) -> Method:
    """The method that answers a question after it has asked others."""
    return lambda server, asked: partial(TellLater, question, server, asked)


def refuses(error: InferryError) -> Method:
    """The method that is not offered."""
    return lambda _server, _asked: partial(Refused, error)


def caller(core: Core, asked: Asked) -> Key:
    """The key of who calls. Raises Unauthorized."""
    return core.ring.check(asked.authorization, time.time())
