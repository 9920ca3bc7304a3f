"""Replies: what a request is answered with, written to whoever asked.

Data flow: an item and what the model said -> its door's codec -> reply frame -> the item's peer. What cannot
be written is refused instead, in the door's own words, so that a request costs nothing but itself.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from inferry.errors import InferryError, ModelFailed
from inferry.interfaces.codec import Codec, Encoded
from inferry.replica.calls import Item, Peer, split
from inferry.types import frames

MAX_ANSWER = frames.MAX_FRAME - frames.REPLY.size
MAX_PARTS = 10_000


def answer(item: Item, outputs: Any, queue_us: int, predict_us: int) -> None:
    """Send the whole answer to a request that the model was called with alone."""
    encoded = encode(item, outputs)
    if encoded is not None:
        send(item, encoded, queue_us, predict_us, 1)


def answer_all(batch: list[Item], outputs: Any, start: int, predict_us: int) -> None:
    """Send the answers of requests that the model was called with together, when it was `start` (monotonic
    nanoseconds). Each by itself when one of them cannot be written: it costs only that one."""
    codec, calls = batch[0].codec, [item.call for item in batch]
    many = getattr(codec, "encode_many", None)
    together: list[Encoded] | None = None
    if many is not None and {item.codec for item in batch} == {codec}:
        with contextlib.suppress(Exception):
            together = many(calls, outputs)
    written: Sequence[Encoded | None]
    if together is not None and max([len(encoded.body) for encoded in together]) <= MAX_ANSWER:
        written = together
    else:
        written = [encode(item, part) for item, part in zip(batch, split(outputs, calls), strict=True)]
    for item, encoded in zip(batch, written, strict=True):
        if encoded is not None:
            send(item, encoded, (start - item.arrived) // 1000, predict_us, len(batch))


def send(item: Item, encoded: Encoded, queue_us: int, predict_us: int, batch: int) -> None:
    """Send an answer. `batch`: how many requests the model was called with."""
    item.peer.answer(
        frames.Reply(
            item.request.id, frames.RESULT, encoded.content, 200, encoded.json_size,
            queue_us, predict_us, batch, item.call.rows, encoded.body,
        )
    )  # fmt: skip


def part(item: Item, value: Any) -> bool:
    """Send one part of an answer; False when the request was refused instead."""
    encoded = encode(item, value)
    if encoded is None:
        return False
    content, json_size, body = encoded.content, encoded.json_size, encoded.body
    item.peer.answer(frames.Reply(item.request.id, frames.PART, content, 200, json_size, body=body))
    return True


def encode(item: Item, outputs: Any) -> Encoded | None:
    """The answer's bytes; None when it was refused instead."""
    try:
        encoded = item.codec.encode(item.call, outputs)
        if len(encoded.body) > MAX_ANSWER:
            raise ModelFailed(f"The answer is over {MAX_ANSWER} bytes.", help="Send fewer rows in a request.")
    except InferryError as error:
        refuse(item.request, item.codec, item.peer, error)
    except Exception:  # noqa: BLE001 - what cannot be written must cost one request, not the replica
        traceback.print_exc(file=sys.stderr)
        failure = ModelFailed("The model's answer could not be encoded.", help="See inferry logs NAME.")
        refuse(item.request, item.codec, item.peer, failure)
    else:
        return encoded
    return None


def failed(item: Item, error: BaseException) -> None:
    """Tell what the model raised: an error that is ours as it is, any other by its name, with the rest in the log."""
    if not isinstance(error, InferryError):
        traceback.print_exception(error, file=sys.stderr)
        error = ModelFailed(
            f"The model raised {type(error).__name__} on this input.",
            help="Its log has the details: inferry logs NAME.",
        )
    refuse(item.request, item.codec, item.peer, error)


def refuse(request: frames.Request, codec: Codec, peer: Peer, error: InferryError) -> None:
    """Send an error in the words of the request's door."""
    content = getattr(codec, "refuses_in", frames.CONTENT_JSON)
    peer.answer(frames.Reply(request.id, frames.RESULT, content, error.status, body=codec.refuse(error)))


def cancelled(request_id: int, peer: Peer) -> None:
    """Confirm that a request was dropped."""
    peer.answer(frames.Reply(request_id, frames.RESULT, status=frames.CANCELLED))


def too_many_parts() -> ModelFailed:
    """The error of an answer in parts that is wanted whole and does not end."""
    return ModelFailed(f"The answer has over {MAX_PARTS} parts.", help="Ask for them as a stream.")
