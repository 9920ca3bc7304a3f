"""Hear: POST /feedback, what turned out to be true of predictions.

Data flow: a body (one object, a list, or one object a line) and the key that came with it -> control, which joins
it to the answers it has -> what became of each item. This room reads none of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from inferry.errors import Forbidden, TooLarge, Unsupported
from inferry.gateway.page import Page
from inferry.security.keys import may
from inferry.types.feedback import FeedbackTold
from inferry.types.names import check_name
from inferry.types.registry import Key

MAX_FEEDBACK = 8 << 20

Hear = Callable[[bytes, str, tuple[str, ...]], Awaitable[FeedbackTold]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


async def hear(scope: dict[str, Any], receive: Receive, key: Key, told: Hear | None) -> Page:
    """Hand feedback over. `told`: who hears it, None where nothing is kept."""
    if told is None:
        raise Unsupported("This server keeps no feedback.", help="Serve the model with inferry up.")
    if not may(key, "predict"):
        raise Forbidden("This key may not give feedback.", help="Use a key with the role invoker.")
    endpoint = parse_qs(scope["query_string"].decode("latin-1")).get("endpoint", [""])[-1]
    if endpoint:
        check_name(endpoint, "endpoint name")
    body = bytearray()
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return Page(status=400)
        body += event.get("body", b"")
        more = event.get("more_body", False)
        if len(body) > MAX_FEEDBACK:
            raise TooLarge(f"The body is over {MAX_FEEDBACK} bytes.", help="Send it in several requests.")
    answer = await told(bytes(body), endpoint, key.endpoints)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if answer.retry_after is not None:
        headers = ((b"retry-after", str(max(1, round(answer.retry_after))).encode()),)
    return Page(body=answer.body, status=answer.status, headers=headers)
