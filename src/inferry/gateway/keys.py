"""Keys: what a request is shared out by, where its endpoint says that one stands.

Data flow: head, body -> the header, the field of the JSON body, or the request's own id -> bytes to hash.
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.gateway.head import Head
from inferry.gateway.live import Body, LiveEndpoint
from inferry.gateway.segments import Lease
from inferry.types import frames

MAX_PARSED = 1 << 20


def key_of(endpoint: LiveEndpoint, head: Head, body: Body) -> bytes:
    """The key of a request, b"" when it has none: then it is shared out on its own."""
    if endpoint.key_header:
        for name, value in head.headers:
            if name == endpoint.key_header:
                return value
    elif endpoint.key_field:
        return field_of(endpoint.key_field, head, body)
    return head.id


def field_of(path: str, head: Head, body: Body) -> bytes:
    """The text of one value of a JSON body: names and numbers of a `path` are separated by dots."""
    if isinstance(body, Lease) or len(body) > MAX_PARSED or head.flags & frames.FLAGS_ENCODED:
        return head.id
    text = memoryview(body)[: head.json_size or len(body)]
    try:
        value: Any = msgspec.json.decode(text)
        for step in path.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (ValueError, RecursionError, LookupError, TypeError):
        return head.id
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return head.id if value is None else msgspec.json.encode(value)
