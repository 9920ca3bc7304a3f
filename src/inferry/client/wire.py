"""The sans-IO core: what is said over HTTP, without saying how it travels.

Data flow: a Flow (a generator) yields a Request or a Pause -> a transport, blocking or async,
performs it and sends the Response back in -> in the end the flow returns its value. All
logic, retries included, lives in flows; so both faces of the client share every line of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from inferry import errors
from inferry.errors import InferryError, InternalError, Unavailable
from inferry.types.decoding import decoder

T = TypeVar("T")

LONGEST_PAUSE_S = 10.0
RECONNECT_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request. A streamed `body` is a function, so that it can be sent again.
    `repeatable`: running it twice does no harm. `into`: a file that gets the body of a good response."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Callable[[], Iterator[bytes]] = b""
    timeout: float
    repeatable: bool = False
    into: Path | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response, read whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Let some seconds pass."""

    seconds: float


Flow: TypeAlias = Generator[Request | Pause, Any, T]


class Dropped(Exception):
    """The connection ended without a response. `sent`: the server may have seen the request."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__("connection dropped")
        self.sent = sent


def send(request: Request, retries: int) -> Flow[Response]:
    """The response to a request, or the error it stands for.

    Tried again, at most `retries` times: after 503 with Retry-After, after a connection that
    broke before anything was sent, and, when the request is repeatable, after one that broke later.
    """
    left = retries
    while True:
        pause = RECONNECT_PAUSE_S
        try:
            response: Response = yield request
        except Dropped as dropped:
            if not left or (dropped.sent and not request.repeatable):
                raise Unavailable(
                    "The server closed the connection without an answer.", help="Try again in a moment."
                ) from dropped
        else:
            wait = _seconds(response.headers.get("retry-after"))
            if response.status != 503 or wait is None or not left:
                break
            pause = wait
        left -= 1
        yield Pause(min(pause, LONGEST_PAUSE_S))
    if response.status >= 400:
        raise failure(response)
    return response


def read(response: Response, type_: type[T]) -> T:
    """The JSON body as a value of a type."""
    try:
        return decoder(type_).decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InternalError(
            "The server's answer has a form that this client does not know.",
            help="Check the address, and that client and server have the same version.",
        ) from error


def failure(response: Response) -> InferryError:
    """The error that a response stands for, in whichever form the server wrote it."""
    said = _said(response.body)
    kind = _BY_CODE.get(str(said.get("code", ""))) or _BY_STATUS.get(response.status, InternalError)
    message = str(said.get("message") or f"The server answered with status {response.status}.")
    error = kind(message, help=str(said.get("help") or ""), retry_after=_seconds(response.headers.get("retry-after")))
    error.request_id = response.headers.get("x-request-id", "")
    return error


def _said(body: bytes) -> dict[str, Any]:
    """`{"error": {...}}` of the plain and control doors, or `{"error": "text"}` of the Open Inference Protocol."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    error = said.get("error") if isinstance(said, dict) else None
    return error if isinstance(error, dict) else {"message": error}


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:  # an HTTP date: nothing we send
        return None


_KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, InferryError) and kind is not InferryError
]
_BY_CODE: dict[str, type[InferryError]] = {kind.code: kind for kind in _KINDS}
_BY_STATUS: dict[int, type[InferryError]] = {kind.status: kind for kind in reversed(_KINDS)}
"""Of several kinds with one status the first in `errors` stands for it: it is the general one."""
