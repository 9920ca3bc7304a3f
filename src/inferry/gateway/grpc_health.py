"""grpc.health.v1.Health: whether the server takes calls, asked once or watched.

Data flow: the name of a service ("" for the whole server) -> a status; `Watch` stays open and
tells the end when the server stops. No key is needed, as on the HTTP health routes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from inferry.errors import InferryError, InvalidInput, NotFound, Unavailable
from inferry.gateway.grpc import Asked, Method, Rpc, Server
from inferry.gateway.grpc_tell import MAX_QUESTION, Question, tells
from inferry.gateway.http2_output import Sender
from inferry.types.messages import Messages

SERVICE = "grpc.health.v1.Health"


class Watch(Rpc):
    """One call of Watch."""

    limit = MAX_QUESTION
    told = False

    def __init__(
        self, question: Question, services: Collection[str], server: Server, asked: Asked, connection: Sender, id: int
    ) -> None:
        Rpc.__init__(self, server, asked, connection, id)
        self.question = question
        self.services = services

    def message(self, body: bytes, flags: int) -> None:
        """The service to watch."""
        try:
            name = self.question.read(self.plain(body, flags)).get("service", "")
        except InferryError as error:
            self.fail(error)
            return
        self.told = True
        self._tell("SERVING" if name in self.services else "SERVICE_UNKNOWN")

    def finished(self) -> None:
        """Nothing more is asked; what is watched goes on."""
        if not self.told:
            self.fail(InvalidInput("The call has no message.", help="Send one."))

    def owes(self) -> bool:
        """Only its question."""
        return not self.told

    def leave(self) -> None:
        """The server stops."""
        if self.told:
            self._tell("NOT_SERVING")
        self.fail(Unavailable("The server stops.", help="Watch again."))

    def _tell(self, status: str) -> None:
        self.reply(self.question.messages.encode(self.question.response, {"status": status}))


def methods(messages: Messages, services: Collection[str]) -> Mapping[bytes, Method]:
    """Path -> method; `services` are those that are served."""
    known = {"", *services}

    def check(_asked: Asked, values: dict[str, Any]) -> dict[str, Any]:
        name = values.get("service", "")
        if name not in known:
            raise NotFound(f"There is no service {name[:100]!a}.", help="An empty name asks for the whole server.")
        return {"status": "SERVING"}

    question = Question(
        messages=messages,
        request="grpc.health.v1.HealthCheckRequest",
        response="grpc.health.v1.HealthCheckResponse",
        tell=check,
    )
    return {
        f"/{SERVICE}/Check".encode(): tells(question),
        f"/{SERVICE}/Watch".encode(): lambda server, asked: partial(Watch, question, known, server, asked),
    }
