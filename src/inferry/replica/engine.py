"""Engine: requests in, replies out, for one loaded model.

Data flow: requests that arrived together -> decode by door -> `policy.next_batch` -> stack ->
predict -> split -> encode -> replies in the order in which they are finished. A batch that
fails is halved until the request at fault stands alone, so one bad item never fails its mates.
A request with very many rows is run in pieces, and an answer that is an iterator is sent in
parts; others are served in between. Where it pays, the model computes in a thread of its own while
the next requests are decoded and the last answers written.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from inferry.errors import DeadlineExceeded, InferryError, InternalError, ModelFailed
from inferry.interfaces.codec import Call, Codec, Encoded
from inferry.interfaces.runtime import LoadedModel
from inferry.policy import batching
from inferry.replica.calls import Item, Peer, Stream, check_rows, inflate, split, stack
from inferry.replica.worker import Workers
from inferry.types import frames
from inferry.types.signature import Signature

MAX_ANSWER = frames.MAX_FRAME - frames.REPLY.size
MAX_PARTS = 10_000


class Engine:
    """One model with its codecs.

    `curve`: what a call of the model takes by its rows, as far as known. `workers`: how many calls may
    compute at the same time beside the engine's own thread (0: the model belongs to that one).
    """

    def __init__(
        self, model: LoadedModel, signature: Signature, codecs: Mapping[int, Codec],
        curve: batching.Curve = (), *, workers: int = 0,
    ) -> None:  # fmt: skip
        self.model = model
        self.signature = signature
        self.codecs = codecs
        self.max_rows = batching.best_rows(curve)
        self.piece_rows = batching.piece_rows(curve)
        self.times = batching.expected_us(curve, self.max_rows) if curve else []
        self.slowness = 1.0
        self.queue: list[Item] = []
        self.streams: list[Stream] = []
        self.served = 0
        self.workers = Workers(self._predict, workers) if workers else None

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self.queue or self.streams or self.computing)

    @property
    def computing(self) -> int:
        """How many calls of the model are under way in threads."""
        return self.workers.started if self.workers else 0

    @property
    def ready(self) -> bool:
        """Whether `step` has something to do now."""
        return bool(self.streams or (self.queue and self._free()))

    def _free(self) -> bool:
        """Whether the model may be called now, or told its next call because no better batch can come."""
        if self.workers is None or not self.workers.started:
            return True
        return self.workers.started < self.workers.count + (len(self.queue) >= self.max_rows)

    def forget(self, peer: Peer) -> None:
        """Drop what is under way for a peer that is gone."""
        self.queue = [item for item in self.queue if item.peer is not peer]
        for stream in [stream for stream in self.streams if stream.item.peer is peer]:
            self._end(stream)

    def cancel(self, request_id: int, peer: Peer) -> None:
        """Nobody waits for this request any more: drop it unless it is answered already."""
        for item in self.queue:
            if item.request.id == request_id and item.peer is peer:
                self.queue.remove(item)
                peer.answer(frames.Reply(request_id, frames.RESULT, status=frames.CANCELLED))
                return
        for stream in self.streams:
            if stream.item.request.id == request_id and stream.item.peer is peer:
                self._end(stream)
                peer.answer(frames.Reply(request_id, frames.RESULT, status=frames.CANCELLED))
                return

    def offer(self, request: frames.Request, peer: Peer) -> None:
        """Decode a request and queue it, or answer at once with what is wrong with it."""
        codec = self.codecs.get(request.door)
        if codec is None:
            peer.answer(frames.Reply(request.id, frames.RESULT, status=400, body=b'{"error":"unknown door"}'))
            return
        try:
            if request.flags & frames.FLAGS_ENCODED:
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
        """Run one batch from the front of the queue, and ask each stream for one part."""
        while self.queue and self._free():
            self._next()
            if not self.computing:
                break
        for stream in list(self.streams):
            self._advance(stream)

    def _next(self) -> None:
        now = time.monotonic_ns() // 1000
        waiting = [item.waiting for item in self.queue]
        positions = batching.next_batch(waiting, self.max_rows, now, self.times, self.slowness)
        batch = [self.queue[position] for position in positions]
        if len(positions) == len(self.queue):
            self.queue.clear()
        else:
            taken = set(positions)
            self.queue = [item for position, item in enumerate(self.queue) if position not in taken]
        live = []
        for item in batch:
            if item.request.deadline and now > item.request.deadline:
                error = DeadlineExceeded("The request waited longer than its deadline.")
                self._refuse(item.request, item.codec, item.peer, error)
            else:
                item.peer.begin(item.request.id)
                live.append(item)
        if not live:
            return
        if len(live) == 1 and self.signature.batchable and live[0].call.rows > self.piece_rows:
            self._run_piece(live[0])
        elif self.workers is not None and self._worth_a_thread(live):
            self.workers.start(live)
        else:
            self._run(live)

    def _worth_a_thread(self, batch: list[Item]) -> bool:
        """Whether the call is so long that others may come meanwhile: handing over has its price on both sides."""
        rows = min(sum(item.waiting.rows for item in batch), self.max_rows)
        return bool(self.times) and self.times[rows] >= batching.LONG_US

    def finish(self) -> None:
        """Calls in threads ended: begin the next one, then answer."""
        assert self.workers is not None
        for batch, parts, error, start, spent in self.workers.finished():
            if error is not None:
                self._divide(batch, error)
                continue
            if len(self.queue) > 1 and self._free():
                self._next()
            self._answer_all(batch, parts, start, spent)

    def _run(self, batch: list[Item]) -> None:
        start = time.monotonic_ns()
        try:
            parts = self._predict(batch)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises is its own affair
            self._divide(batch, error)
            return
        self._answer_all(batch, parts, start, (time.monotonic_ns() - start) // 1000)

    def _divide(self, batch: list[Item], error: BaseException) -> None:
        """A batch failed: try its halves, until who is at fault stands alone."""
        if len(batch) == 1:
            self._failed(batch[0], error)
            return
        middle = len(batch) // 2
        self._run(batch[:middle])
        self._run(batch[middle:])

    def _answer_all(self, batch: list[Item], parts: list[Any], start: int, spent: int) -> None:
        size = len(batch)
        for item, outputs in zip(batch, parts, strict=True):
            queue_us = (start - item.arrived) // 1000
            if size == 1 and isinstance(outputs, Iterator):
                self._begin_stream(item, outputs, queue_us)
            else:
                self._answer(item, outputs, queue_us, spent, size)
        self.served += size
        if self.times:
            self._learn(sum(item.waiting.rows for item in batch), spent)

    def _learn(self, rows: int, spent: int) -> None:
        """Compare with the curve: it was measured on another day, with other work around."""
        if rows <= self.max_rows:
            self.slowness += (spent / max(1.0, self.times[rows]) - self.slowness) / 16

    def _predict(self, batch: list[Item]) -> list[Any]:
        """Each item's outputs. Runs in threads too."""
        calls = [item.call for item in batch]
        if len(batch) == 1:
            outputs = self.model.predict(calls[0].inputs)
            if self.signature.batchable:
                check_rows(outputs, calls[0].rows)
            return [outputs]
        outputs = self.model.predict(stack(calls))
        check_rows(outputs, sum(call.rows for call in calls))
        return split(outputs, calls)

    def _run_piece(self, item: Item) -> None:
        """The next rows of a large request; it then goes to the end of the queue, or is answered."""
        start = time.monotonic_ns()
        stop = min(item.done + self.piece_rows, item.call.rows)
        try:
            outputs = self.model.predict({name: array[item.done : stop] for name, array in item.call.inputs.items()})
            check_rows(outputs, stop - item.done)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises is its own affair
            self._failed(item, error)
            return
        item.pieces.append(outputs)
        item.done = stop
        if stop < item.call.rows:
            self.queue.append(item)
            return
        whole = {name: np.concatenate([piece[name] for piece in item.pieces]) for name in outputs}
        spent = (time.monotonic_ns() - start) // 1000 * len(item.pieces)
        total = (time.monotonic_ns() - item.arrived) // 1000
        self.served += 1
        self._answer(item, whole, max(0, total - spent), spent, 1)

    # answers in parts

    def _begin_stream(self, item: Item, parts: Iterator[Any], queue_us: int) -> None:
        if item.request.flags & frames.FLAG_STREAM:
            self.streams.append(Stream(item, parts, queue_us))
            return
        start = time.monotonic_ns()
        try:
            whole = []
            for part in parts:
                whole.append(part)
                if len(whole) > MAX_PARTS:
                    raise ModelFailed(f"The answer has over {MAX_PARTS} parts.", help="Ask for them as a stream.")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises is its own affair
            self._failed(item, error)
            return
        self._answer(item, whole, queue_us, (time.monotonic_ns() - start) // 1000, 1)

    def _advance(self, stream: Stream) -> None:
        """Send one more part, or the end."""
        item, start = stream.item, time.monotonic_ns()
        try:
            part = next(stream.parts)
        except StopIteration:
            self.streams.remove(stream)
            item.peer.answer(
                frames.Reply(
                    item.request.id, frames.RESULT, frames.CONTENT_END, queue_us=stream.queue_us,
                    predict_us=stream.predict_us, batch=1, rows=1,
                )
            )  # fmt: skip
            return
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises is its own affair
            self.streams.remove(stream)
            self._failed(item, error)
            return
        stream.predict_us += (time.monotonic_ns() - start) // 1000
        encoded = self._encode(item, part)
        if encoded is None:
            self._end(stream)
        else:
            item.peer.answer(
                frames.Reply(item.request.id, frames.PART, encoded.content, 200, encoded.json_size, body=encoded.body)
            )

    def _end(self, stream: Stream) -> None:
        self.streams.remove(stream)
        try:
            stream.close()
        except (Exception, SystemExit):  # noqa: BLE001 - whatever a model raises is its own affair
            traceback.print_exc(file=sys.stderr)

    # answers

    def _answer(self, item: Item, outputs: Any, queue_us: int, predict_us: int, batch: int) -> None:
        encoded = self._encode(item, outputs)
        if encoded is not None:
            item.peer.answer(
                frames.Reply(
                    item.request.id, frames.RESULT, encoded.content, 200, encoded.json_size,
                    queue_us, predict_us, batch, item.call.rows, encoded.body,
                )
            )  # fmt: skip

    def _encode(self, item: Item, outputs: Any) -> Encoded | None:
        """The answer's bytes; None when it was refused instead."""
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
            return encoded
        return None

    def _failed(self, item: Item, error: BaseException) -> None:
        if not isinstance(error, InferryError):
            traceback.print_exception(error, file=sys.stderr)
            error = ModelFailed(
                f"The model raised {type(error).__name__} on this input.",
                help="Its log has the details: inferry logs NAME.",
            )
        self._refuse(item.request, item.codec, item.peer, error)

    def _refuse(self, request: frames.Request, codec: Codec, peer: Peer, error: InferryError) -> None:
        peer.answer(frames.Reply(request.id, frames.RESULT, status=error.status, body=codec.refuse(error)))

    def _shape(self, call: Call) -> Any:
        """What must be equal for two calls to be stacked; None when this one never is."""
        if not self.signature.batchable or not 0 < call.rows <= self.max_rows:
            return None
        return tuple([(name, array.dtype.char, array.shape[1:]) for name, array in call.inputs.items()])
