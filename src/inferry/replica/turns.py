"""Turns: requests to a model with an engine of its own, from their start to their answer.

Data flow: item -> `offer` -> a lane, as soon as one is free -> what the model says there (`collect`) -> sent
part by part, or kept and sent as one answer -> the end, with how many tokens were read and written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from inferry.errors import DeadlineExceeded
from inferry.interfaces.codec import Encoded
from inferry.interfaces.runtime import Said
from inferry.replica import replies
from inferry.replica.calls import Item
from inferry.replica.lanes import End, Lanes, Turn
from inferry.types import frames

TIME_HELP = "Ask for less, for the answer in parts, or allow more time with the header inferry-timeout."


class Turns:
    """The requests of one model that answers `slots` of them beside each other.

    `begin`: notes that the model begins an item, now (monotonic microseconds), or refuses it and says False.
    `descriptor`: readable when `collect` has something to do.
    """

    def __init__(self, respond: Callable[[Any, Turn], Said], slots: int, begin: Callable[[Item, int], bool]) -> None:
        self._lanes = Lanes(respond, slots)
        self._begin = begin
        self.descriptor = self._lanes.descriptor

    @property
    def waiting(self) -> int:
        """How many requests the model has not begun."""
        return len(self._lanes.waiting)

    @property
    def running(self) -> int:
        """How many the model is answering."""
        return len(self._lanes.running)

    def offer(self, item: Item) -> None:
        """Let the model answer, at once or when it is this item's turn."""
        self._lanes.add(item)
        self._begin_waiting()

    def drop(self, wanted: Callable[[Item], bool]) -> bool:
        """Forget these items; whether there were any."""
        return bool(self._lanes.drop(wanted))

    def collect(self) -> int:
        """Send what the model has said since, and begin what waits for a free lane; how many were answered."""
        answered = 0
        for turn, said in self._lanes.news():
            if turn.gone:
                continue
            if isinstance(said, End):
                answered += self._end(turn, said)
            elif turn.parts:
                if not replies.part(turn.item, said):
                    turn.leave()
            elif len(turn.kept) < replies.MAX_PARTS:
                turn.kept.append(said)
            else:
                turn.leave()
                replies.failed(turn.item, replies.too_many_parts())
        self._begin_waiting()
        return answered

    def _begin_waiting(self) -> None:
        while turn := self._lanes.next():
            if self._begin(turn.item, time.monotonic_ns() // 1000):
                self._lanes.begin(turn)

    def _end(self, turn: Turn, end: End) -> bool:
        """Send the end; whether the model gave an answer."""
        item, said = turn.item, end.said
        if turn.late:
            error = DeadlineExceeded("The model did not end its answer in time.", help=TIME_HELP)
            replies.refuse(item.request, item.codec, item.peer, error)
            return False
        if end.error is not None:
            replies.failed(item, end.error)
            return False
        queue_us, tokens = (turn.began - item.arrived) // 1000, (said.read, said.written)
        item.call.read = said.read
        encoded = Encoded(frames.CONTENT_END, 0, b"")
        if said.whole is not None or not turn.parts:
            whole = replies.encode(item, turn.kept if said.whole is None else said.whole)
            if whole is None:
                return True
            encoded = whole
        item.peer.answer(
            frames.Reply(
                item.request.id, frames.RESULT, encoded.content, 200, encoded.json_size,
                queue_us, end.spent_us, 1, 1, encoded.body, tokens,
            )
        )  # fmt: skip
        return True
