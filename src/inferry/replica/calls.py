"""Calls: requests on their way through the engine, and how they become one call of the model and part again.

Data flow: frames.Request -> `inflate` -> decoded into an Item -> `stack` with its mates -> the model's
outputs -> `check_rows` -> `split`: each item's own rows. An answer that comes bit by bit is a Stream.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from inferry.errors import InvalidInput, ModelFailed, TooLarge
from inferry.interfaces.codec import Call, Codec
from inferry.policy import batching
from inferry.types import frames

MAX_BODY = 256 << 20


class Peer(Protocol):
    """Who asked: takes replies, and is told when the model begins a request."""

    def answer(self, reply: frames.Reply) -> None:
        """Send a reply, now or with the next write."""
        ...

    def begin(self, request_id: int) -> None:
        """The model is about to see this request."""
        ...


class Item:
    """A decoded request on its way through. `pieces` are the outputs of the rows that were run already."""

    __slots__ = ("arrived", "call", "codec", "done", "peer", "pieces", "request", "waiting")

    def __init__(self, request: frames.Request, peer: Peer, codec: Codec, call: Call, shape: Any) -> None:
        self.request = request
        self.peer = peer
        self.codec = codec
        self.call = call
        self.waiting = batching.Waiting(shape, max(1, call.rows), request.deadline)
        self.arrived = time.monotonic_ns()
        self.done = 0
        self.pieces: list[Any] = []


class Stream:
    """An answer that the model gives bit by bit."""

    def __init__(self, item: Item, parts: Iterator[Any], queue_us: int) -> None:
        self.item = item
        self.parts = parts
        self.queue_us = queue_us
        self.predict_us = 0

    def close(self) -> None:
        """Let the model clean up after itself."""
        close = getattr(self.parts, "close", None)
        if close is not None:
            close()


def stack(calls: list[Call]) -> dict[str, Any]:
    """The inputs of calls that run together."""
    if len(calls) == 1:
        inputs: dict[str, Any] = calls[0].inputs
        return inputs
    return {name: np.concatenate([call.inputs[name] for call in calls]) for name in calls[0].inputs}


def split(outputs: Mapping[str, Any], calls: list[Call]) -> list[Any]:
    """Each call's own rows of the outputs."""
    parts, start = [], 0
    for call in calls:
        end = start + call.rows
        parts.append({name: value[start:end] for name, value in outputs.items()})
        start = end
    return parts


def check_rows(outputs: Mapping[str, Any], rows: int) -> None:
    """Raise ModelFailed unless every output has a row for each row of input."""
    for name, value in outputs.items():
        if len(value) != rows:
            raise ModelFailed(f"Output {name!r} has {len(value)} rows for {rows} rows of input.")


def inflate(request: frames.Request) -> frames.Request:
    """The request with its body unpacked. Raises InvalidInput or TooLarge (a bomb stops at the limit)."""
    wbits = 31 if request.flags & frames.FLAG_GZIP else 15
    unpacker = zlib.decompressobj(wbits)
    try:
        body = unpacker.decompress(request.body, MAX_BODY)
    except zlib.error as error:
        raise InvalidInput(
            "The body is not valid for its Content-Encoding.", help="Send gzip or deflate data, or no encoding."
        ) from error
    if unpacker.unconsumed_tail or (len(body) >= MAX_BODY and not unpacker.eof):
        raise TooLarge(f"The unpacked body is over {MAX_BODY} bytes.", help="Send fewer rows in a request.")
    if not unpacker.eof:
        raise InvalidInput("The compressed body is cut off.", help="Send the whole of it.")
    if unpacker.unused_data:
        raise InvalidInput("More data follows the compressed body.", help="Compress the body as one piece.")
    return request._replace(body=body, flags=request.flags & ~frames.FLAGS_ENCODED)
