"""Services: what all HTTP connections share, and the headers that errors bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from inferry.errors import InferryError
from inferry.gateway.core import Core
from inferry.gateway.head import Heads


class Swept(Protocol):
    """A connection, as the sweep sees it."""

    def sweep(self) -> None:
        """Hang up when nothing happens any more."""
        ...


class Services:
    """What every connection shares: the core, the head cache, error forms and time limits."""

    def __init__(
        self,
        core: Core,
        heads: Heads,
        forms: Mapping[int, Callable[[InferryError], bytes]],
        head_timeout_s: float,
        body_timeout_s: float,
    ) -> None:
        self.core = core
        self.heads = heads
        self.forms = forms
        self.head_timeout_s = head_timeout_s
        self.body_timeout_s = body_timeout_s
        self.connections: set[Swept] = set()
        self._stamp: list[tuple[bytes, bytes]] = []
        self._date = b""

    def date(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The default headers of uvicorn (Date, renewed each second) as one line."""
        if headers is not self._stamp:
            self._stamp = headers
            self._date = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return self._date


def error_headers(error: InferryError) -> bytes:
    """Headers that go with an error."""
    code = b"inferry-error: %b\r\n" % error.code.encode()
    if error.status == 401:
        return code + b"www-authenticate: Bearer\r\n"
    if error.retry_after is not None:
        return code + b"retry-after: %d\r\n" % max(1, round(error.retry_after))
    return code
