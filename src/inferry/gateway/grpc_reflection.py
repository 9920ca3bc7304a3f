"""Server reflection: which services there are, and the .proto files they come from.

Data flow: a question (a file's name, a symbol, "which services") -> the descriptors that the
messages are read by -> files as they are. No key is needed: they are the same for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from inferry.errors import InferryError, NotFound, Unavailable, Unsupported
from inferry.gateway.grpc import Asked, Method, Rpc, Server
from inferry.gateway.grpc_tell import MAX_QUESTION, Question
from inferry.gateway.http2_output import Sender
from inferry.types.messages import Messages

VERSIONS = ("v1", "v1alpha")
UNREAD_PAUSE = 1 << 20


class Reflect(Rpc):
    """One call of ServerReflectionInfo: each question is answered by one message."""

    limit = MAX_QUESTION

    def __init__(self, question: Question, server: Server, asked: Asked, connection: Sender, id: int) -> None:
        Rpc.__init__(self, server, asked, connection, id)
        self.question = question

    def ready(self) -> bool:
        """Whether the client reads its answers."""
        return self.queued < UNREAD_PAUSE

    def drained(self) -> None:
        """It does again."""
        self.resume()

    def owes(self) -> bool:
        """Only the rest of a message."""
        return self.chunks is not None

    def message(self, body: bytes, flags: int) -> None:
        """One question."""
        question = self.question
        try:
            values = question.read(self.plain(body, flags))
        except InferryError as error:
            self.fail(error)
            return
        try:
            told = question.tell(self.asked, values)
        except InferryError as error:
            told = {"error_response": {"error_code": error.grpc, "error_message": error.sentence()}}
        told |= {"valid_host": values.get("host", ""), "original_request": values}
        self.reply(question.messages.encode(question.response, told))

    def finished(self) -> None:
        """No more questions."""
        self.end([(b"grpc-status", b"0")])

    def leave(self) -> None:
        """The server stops."""
        self.fail(Unavailable("The server stops.", help="Ask again."))


def answer(messages: Messages, values: dict[str, Any]) -> dict[str, Any]:
    """The answer to one question. Raises NotFound or Unsupported."""
    tables = messages.tables
    if "list_services" in values:
        return {"list_services_response": {"service": [{"name": name} for name in sorted(tables.services)]}}
    if "file_by_filename" in values:
        return files(messages, values["file_by_filename"])
    if "file_containing_symbol" in values:
        return files(messages, tables.symbols.get(values["file_containing_symbol"], ""))
    if "all_extension_numbers_of_type" in values and values["all_extension_numbers_of_type"] in tables.fields:
        return {"all_extension_numbers_response": {"base_type_name": values["all_extension_numbers_of_type"]}}
    if "file_containing_extension" in values or "all_extension_numbers_of_type" in values:
        raise NotFound("There are no extensions.", help="Ask for a service or a message.")
    raise Unsupported("This question is not known.", help="Ask for a file, a symbol or the list of services.")


def files(messages: Messages, name: str) -> dict[str, Any]:
    """A file as it is; what it imports can be asked for by name."""
    found = messages.tables.files.get(name)
    if found is None:
        raise NotFound("There is no such file or symbol.", help="list_services tells what there is.")
    return {"file_descriptor_response": {"file_descriptor_proto": [found]}}


def methods(messages: Messages) -> Mapping[bytes, Method]:
    """Path -> method, for both versions of the protocol."""
    found: dict[bytes, Method] = {}
    for version in VERSIONS:
        package = f"grpc.reflection.{version}"
        question = Question(
            messages=messages,
            request=f"{package}.ServerReflectionRequest",
            response=f"{package}.ServerReflectionResponse",
            tell=lambda _asked, values: answer(messages, values),
        )
        found[f"/{package}.ServerReflection/ServerReflectionInfo".encode()] = reflects(question)
    return found


def reflects(question: Question) -> Method:
    """The method of one version."""
    return lambda server, asked: partial(Reflect, question, server, asked)
