"""Page: one response of the gateway's ordinary app, and what its routes share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from inferry.errors import MethodNotAllowed


@dataclass(frozen=True, kw_only=True)
class Page:
    """One response; its body is `body`, or what `events` gives bit by bit."""

    body: bytes | memoryview = b""
    events: AsyncIterator[bytes] | None = None
    status: int = 200
    content: str = "application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


def as_json(value: Any, status: int = 200) -> Page:
    """A JSON page."""
    return Page(body=msgspec.json.encode(value), status=status)


def only(verb: str, *allowed: str) -> None:
    """Raise MethodNotAllowed unless `verb` is one of `allowed`."""
    if verb not in allowed:
        raise MethodNotAllowed(f"This route does not take {verb}.", help=f"Use {' or '.join(allowed)}.")


def header(scope: dict[str, Any], name: bytes) -> bytes | None:
    """A request header's first value."""
    return next((value for key, value in scope["headers"] if key == name), None)
