"""Engine: request frames in, reply frames out, for one loaded model.

Data flow: frames that arrived together -> decode by door -> `policy.next_batch` -> stack ->
predict -> split -> encode -> replies in the order in which they are finished. A batch that
fails is halved until the request at fault stands alone, so one bad item never fails its mates.
"""

from __future__ import annotations

import sys
import time
import traceback
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from inferry.errors import DeadlineExceeded, InferryError, InternalError, InvalidInput, ModelFailed, TooLarge
from inferry.interfaces.codec import Call, Codec
from inferry.interfaces.runtime import LoadedModel
from inferry.policy.batching import Waiting, next_batch
from inferry.types import frames
from inferry.types.signature import Signature

MAX_BODY = 256 << 20
MAX_ANSWER = frames.MAX_FRAME - frames.REPLY.size


class Peer(Protocol):
    """Who asked: takes reply frames, and is told when the model begins a request."""

    def answer(self, frame: bytes) -> None:
        """Send a reply frame, now or with the next write."""
        ...

    def begin(self, request_id: int) -> None:
        """The model is about to see this request."""
        ...


class Item:
    """A decoded request on its way through."""

    __slots__ = ("arrived", "call", "codec", "peer", "request", "waiting")

    def __init__(self, request: frames.Request, peer: Peer, codec: Codec, call: Call, shape: Any) -> None:
        self.request = request
        self.peer = peer
        self.codec = codec
        self.call = call
        self.waiting = Waiting(shape, max(1, call.rows))
        self.arrived = time.monotonic_ns()


class Engine:
    """One model with its codecs."""

    def __init__(
        self, model: LoadedModel, signature: Signature, codecs: Mapping[int, Codec], *, max_rows: int = 64
    ) -> None:
        self.model = model
        self.signature = signature
        self.codecs = codecs
        self.max_rows = max_rows
        self.queue: list[Item] = []
        self.served = 0

    def forget(self, peer: Peer) -> None:
        """Drop what is queued for a peer that is gone."""
        self.queue = [item for item in self.queue if item.peer is not peer]

    def offer(self, request: frames.Request, peer: Peer) -> None:
        """Decode a request and queue it, or answer at once with what is wrong with it."""
        codec = self.codecs.get(request.door)
        if codec is None:
            peer.answer(frames.pack_reply(request.id, frames.RESULT, status=400, body=b'{"error":"unknown door"}'))
            return
        try:
            if request.flags & (frames.FLAG_GZIP | frames.FLAG_DEFLATE):
                request = inflate(request)
            call = codec.decode(request)
        except InferryError as error:
            self._refuse(request, codec, peer, error)
        except Exception:  # noqa: BLE001 - a bug in a codec must cost one request, not the replica
            traceback.print_exc(file=sys.stderr)
            self._refuse(request, codec, peer, InternalError("The request could not be decoded."))
        else:
            self.queue.append(Item(request, peer, codec, call, self._shape(call)))

    def step(self) -> None:
        """Run one batch from the front of the queue and answer it."""
        positions = next_batch([item.waiting for item in self.queue], self.max_rows)
        batch = [self.queue[position] for position in positions]
        if len(positions) == len(self.queue):
            self.queue.clear()
        else:
            taken = set(positions)
            self.queue = [item for position, item in enumerate(self.queue) if position not in taken]
        now = time.monotonic_ns() // 1000
        live = []
        for item in batch:
            if item.request.deadline and now > item.request.deadline:
                error = DeadlineExceeded("The request waited longer than its deadline.")
                self._refuse(item.request, item.codec, item.peer, error)
            else:
                item.peer.begin(item.request.id)
                live.append(item)
        if live:
            self._run(live)

    def _run(self, batch: list[Item]) -> None:
        start = time.monotonic_ns()
        try:
            parts = self._predict(batch)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises is its own affair
            if len(batch) > 1:
                middle = len(batch) // 2
                self._run(batch[:middle])
                self._run(batch[middle:])
                return
            if not isinstance(error, InferryError):
                traceback.print_exc(file=sys.stderr)
                error = ModelFailed(
                    f"The model raised {type(error).__name__} on this input.",
                    help="Its log has the details: inferry logs NAME.",
                )
            self._refuse(batch[0].request, batch[0].codec, batch[0].peer, error)
            return
        spent = (time.monotonic_ns() - start) // 1000
        size = len(batch)
        for item, outputs in zip(batch, parts, strict=True):
            self._answer(item, outputs, (start - item.arrived) // 1000, spent, size)
        self.served += size

    def _predict(self, batch: list[Item]) -> list[Any]:
        calls = [item.call for item in batch]
        if len(batch) == 1:
            outputs = self.model.predict(calls[0].inputs)
            if self.signature.batchable:
                check_rows(outputs, calls[0].rows)
            return [outputs]
        stacked = {name: np.concatenate([call.inputs[name] for call in calls]) for name in calls[0].inputs}
        outputs = self.model.predict(stacked)
        check_rows(outputs, sum(call.rows for call in calls))
        parts, start = [], 0
        for call in calls:
            end = start + call.rows
            parts.append({name: value[start:end] for name, value in outputs.items()})
            start = end
        return parts

    def _answer(self, item: Item, outputs: Any, queue_us: int, predict_us: int, batch: int) -> None:
        try:
            encoded = item.codec.encode(item.call, outputs)
            if len(encoded.body) > MAX_ANSWER:
                raise ModelFailed(f"The answer is over {MAX_ANSWER} bytes.", help="Send fewer rows in a request.")
        except InferryError as error:
            self._refuse(item.request, item.codec, item.peer, error)
        except Exception:  # noqa: BLE001 - what cannot be written must cost one request, not the replica
            traceback.print_exc(file=sys.stderr)
            failure = ModelFailed("The model's answer could not be encoded.", help="See inferry logs NAME.")
            self._refuse(item.request, item.codec, item.peer, failure)
        else:
            item.peer.answer(
                frames.pack_reply(
                    item.request.id, frames.RESULT, encoded.content, 200, encoded.json_size,
                    queue_us, predict_us, batch, item.call.rows, encoded.body,
                )
            )  # fmt: skip

    def _refuse(self, request: frames.Request, codec: Codec, peer: Peer, error: InferryError) -> None:
        peer.answer(frames.pack_reply(request.id, frames.RESULT, status=error.status, body=codec.refuse(error)))

    def _shape(self, call: Call) -> Any:
        """What must be equal for two calls to be stacked; None when this one never is."""
        if not self.signature.batchable or not 0 < call.rows <= self.max_rows:
            return None
        return tuple((name, array.dtype.char, array.shape[1:]) for name, array in call.inputs.items())


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
    return request._replace(body=body, flags=0)
