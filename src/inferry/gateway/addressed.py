"""Addressed: OpenAI's requests, whose bodies name the endpoint and say whether the answer comes in parts.

Data flow: a head without an endpoint + the whole body -> the two fields read, nothing else believed ->
a head of this one request, which goes the way of all others.
"""

from __future__ import annotations

import copy

import msgspec

from inferry.errors import InvalidInput, UnsupportedMedia
from inferry.gateway.head import Head
from inferry.gateway.live import Body
from inferry.gateway.segments import Lease
from inferry.types import frames


class _Fields(msgspec.Struct):
    model: str
    stream: bool | None = None


_DECODER = msgspec.json.Decoder(_Fields)


def addressed(head: Head, body: Body) -> Head:
    """The head with its endpoint and flags. Raises InvalidInput or UnsupportedMedia."""
    if head.flags & frames.FLAGS_ENCODED:
        raise UnsupportedMedia("A body that names its model must not be compressed.", help="Send it as it is.")
    try:
        fields = _DECODER.decode(body.body() if isinstance(body, Lease) else body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"The body does not name a model: {error}.", help='Send a JSON object with "model": "NAME OF AN ENDPOINT".'
        ) from error
    own = copy.copy(head)
    own.endpoint = fields.model.encode("utf-8", "replace")[:64] or b"?"
    own.ring = None
    own.flags &= ~frames.FLAG_STREAM
    if fields.stream and head.door != frames.DOOR_EMBEDDINGS:
        own.flags |= frames.FLAG_STREAM
    return own
