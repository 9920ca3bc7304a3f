"""Engine: requests in, replies out, for one loaded model.

Data flow: requests that arrived together -> decode by door -> `policy.next_batch` -> predict (`calls`) -> encode
(`replies`), in the order in which they are finished. A batch that fails is halved until the request at fault stands
alone, so one bad item never fails its mates. Where it pays, the model computes in a thread of its own (`worker`)
while the next requests are decoded and the last answers written.

Three kinds of requests take another way, so that no other waits for them: one with very many rows is run in
`pieces`, an answer that is an iterator goes out part by part (`streams`), and a model with `slots` answers
several beside each other (`turns`).
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from inferry.errors import DeadlineExceeded, InferryError, InternalError
from inferry.interfaces.codec import Call, Codec, alike
from inferry.interfaces.runtime import LoadedModel
from inferry.policy import batching
from inferry.replica import replies, streams
from inferry.replica.calls import Item, Peer, inflate, predict
from inferry.replica.pieces import Pieces
from inferry.replica.turns import Turns
from inferry.replica.worker import Workers
from inferry.types import frames
from inferry.types.signature import Signature

LONE = 8  # requests one after the other before the engine takes it for a habit
PATIENCE_NS = 1e6


class Engine:
    """One model with its codecs.

    `curve`: what a call of the model takes by its rows, as far as known. `workers`: how many calls may
    compute at the same time beside the engine's own thread (0: the model belongs to that one). `lone`: how
    many requests in a row had no other beside them; whoever sees one come meanwhile sets it to 0.
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
        self.streams: list[streams.Stream] = []
        self.served = 0
        self.lone = 0
        self.workers = Workers(self._predict, workers) if workers else None
        slots = getattr(model, "slots", 0)
        self.turns = Turns(model.respond, slots, self._in_time) if slots else None  # type: ignore[attr-defined]

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self.queue or self.streams or self.computing or (self.turns and self.turns.waiting))

    @property
    def computing(self) -> int:
        """How many calls of the model are under way in threads."""
        return (self.workers.started if self.workers else 0) + (self.turns.running if self.turns else 0)

    @property
    def patience_ns(self) -> float:
        """How long looking for the next lone request instead of sleeping costs little beside what it computes."""
        return min(PATIENCE_NS, self.times[1] * 200) if self.lone > LONE and self.times else 0.0

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
        self._drop(lambda item: item.peer is peer)

    def cancel(self, request_id: int, peer: Peer) -> None:
        """Nobody waits for this request any more: drop it unless it is answered already."""
        if self._drop(lambda item: item.request.id == request_id and item.peer is peer):
            replies.cancelled(request_id, peer)

    def _drop(self, wanted: Callable[[Item], bool]) -> bool:
        """Drop these items; whether there were any."""
        queue = [item for item in self.queue if not wanted(item)]
        streaming = [stream for stream in self.streams if wanted(stream.item)]
        dropped = len(queue) < len(self.queue) or bool(streaming)
        self.queue = queue
        for stream in streaming:
            self.streams.remove(stream)
            stream.close()
        return (self.turns is not None and self.turns.drop(wanted)) or dropped

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
            replies.refuse(request, codec, peer, error)
        except Exception:  # noqa: BLE001 - a bug in a codec must cost one request, not the replica
            traceback.print_exc(file=sys.stderr)
            replies.refuse(request, codec, peer, InternalError("The request could not be decoded."))
        else:
            rows, now = max(1, call.rows), time.monotonic_ns()
            item = Item(request, peer, codec, call, self._alike(call), rows, request.deadline, now)
            if self.turns is None:
                self.queue.append(item)
            else:
                self.turns.offer(item)

    def step(self) -> None:
        """Run one batch from the front of the queue, and ask each stream for one part."""
        while self.queue and self._free():
            self._next()
            if not self.computing:
                break
        for stream in list(self.streams):
            if not stream.advance():
                self.streams.remove(stream)

    def _next(self) -> None:
        now = time.monotonic_ns() // 1000
        positions = batching.next_batch(self.queue, self.max_rows, now, self.times, self.slowness)
        if len(positions) == len(self.queue):
            batch, self.queue = self.queue, []
        else:
            batch = [self.queue[position] for position in positions]
            taken = set(positions)
            self.queue = [item for position, item in enumerate(self.queue) if position not in taken]
        live = [item for item in batch if not 0 < item.deadline < now]
        if len(live) < len(batch):
            for item in batch:
                if 0 < item.deadline < now:
                    too_late(item)
        if not live:
            return
        for peer, id in {item.peer: item.request.id for item in live}.items():  # mates stand in the order of their ids
            peer.begin(id)
        if len(live) == 1 and self.signature.batchable and live[0].call.rows > self.piece_rows:
            self._run_piece(live[0])
        elif self.workers is not None and self._worth_a_thread(live) and not self._by_itself(live):
            self.workers.start(live)
        else:
            self._run(live)

    def _in_time(self, item: Item, now: int) -> bool:
        """Note that the model begins a request, or refuse one that waited too long. `now` in microseconds."""
        if 0 < item.deadline < now:
            too_late(item)
            return False
        item.peer.begin(item.request.id)
        return True

    def _by_itself(self, batch: list[Item]) -> bool:
        """Whether no other request is likely to come meanwhile: then handing over only costs time."""
        alone = len(batch) == 1 and not self.queue and not self.computing
        self.lone = self.lone + 1 if alone else 0
        return self.lone > LONE and self.times[min(batch[0].call.rows, self.max_rows)] < batching.PIECE_US

    def _worth_a_thread(self, batch: list[Item]) -> bool:
        """Whether the call is so long that others may come meanwhile: handing over has its price on both sides."""
        rows = min(sum([item.rows for item in batch]), self.max_rows)
        return bool(self.times) and self.times[rows] >= batching.LONG_US

    def finish(self) -> None:
        """Calls in threads ended: begin the next one, then answer."""
        assert self.workers is not None
        for batch, outputs, error, start, spent in self.workers.finished():
            if error is not None:
                self._divide(batch, error)
                continue
            if len(self.queue) > 1 and self._free():
                self._next()
            self._answer_all(batch, outputs, start, spent)

    def collect(self) -> None:
        """The lanes of a model with `slots` have something to say."""
        assert self.turns is not None
        self.served += self.turns.collect()

    def _run(self, batch: list[Item]) -> None:
        start = time.monotonic_ns()
        try:
            outputs = self._predict(batch)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises is its own affair
            self._divide(batch, error)
            return
        self._answer_all(batch, outputs, start, (time.monotonic_ns() - start) // 1000)

    def _divide(self, batch: list[Item], error: BaseException) -> None:
        """A batch failed: try its halves, until who is at fault stands alone."""
        if len(batch) == 1:
            replies.failed(batch[0], error)
            return
        middle = len(batch) // 2
        self._run(batch[:middle])
        self._run(batch[middle:])

    def _answer_all(self, batch: list[Item], outputs: Any, start: int, spent: int) -> None:
        if len(batch) == 1:
            self._answer(batch[0], outputs, (start - batch[0].arrived) // 1000, spent)
        else:
            replies.answer_all(batch, outputs, start, spent)
        self.served += len(batch)
        if self.times:
            self._learn(sum([item.rows for item in batch]), spent)

    def _answer(self, item: Item, outputs: Any, queue_us: int, spent: int) -> None:
        if not isinstance(outputs, Iterator):
            replies.answer(item, outputs, queue_us, spent)
        elif item.request.flags & frames.FLAG_STREAM:
            self.streams.append(streams.Stream(item, outputs, queue_us))
        else:
            streams.whole(item, outputs, queue_us)

    def _learn(self, rows: int, spent: int) -> None:
        """Compare with the curve: it was measured on another day, with other work around."""
        if rows <= self.max_rows:
            self.slowness += (spent / max(1.0, self.times[rows]) - self.slowness) / 16

    def _predict(self, batch: list[Item]) -> Any:
        """The outputs of all items. Runs in threads too."""
        return predict(self.model, [item.call for item in batch], batchable=self.signature.batchable)

    def _run_piece(self, item: Item) -> None:
        """The next rows of a large request; it then goes to the end of the queue, or is answered."""
        pieces = item.pieces = item.pieces or Pieces(item.call)
        try:
            if pieces.run(self.model, self.piece_rows):
                self.queue.append(item)
                return
            outputs = pieces.whole()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises is its own affair
            replies.failed(item, error)
            return
        self.served += 1
        total = (time.monotonic_ns() - item.arrived) // 1000
        replies.answer(item, outputs, max(0, total - pieces.spent_us), pieces.spent_us)

    def _alike(self, call: Call) -> Hashable:
        """What must be equal for two calls to be stacked; None when this one never is."""
        if not self.signature.batchable or not 0 < call.rows <= self.max_rows:
            return None
        return call.alike or alike(call.inputs)


def too_late(item: Item) -> None:
    """Refuse a request that waited for too long."""
    error = DeadlineExceeded("The request waited longer than its deadline.")
    replies.refuse(item.request, item.codec, item.peer, error)
