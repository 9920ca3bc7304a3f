"""Streams: an answer that is an iterator, in the engine's own thread.

Data flow: the model returned an iterator -> one part each time that the engine asks (`advance`), so that other
requests are served in between -> the end, or what the model raised. A client that did not ask for parts gets
them in one list (`whole`).
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

from inferry.replica import replies
from inferry.replica.calls import Item
from inferry.types import frames


class Stream:
    """An answer on its way, part by part."""

    def __init__(self, item: Item, parts: Iterator[Any], queue_us: int) -> None:
        self.item = item
        self.queue_us = queue_us
        self.predict_us = 0
        self._parts = parts

    def advance(self) -> bool:
        """Send one more part, or the end; whether there may be more."""
        item, start = self.item, time.monotonic_ns()
        try:
            part = next(self._parts)
        except StopIteration:
            item.peer.answer(
                frames.Reply(
                    item.request.id, frames.RESULT, frames.CONTENT_END, queue_us=self.queue_us,
                    predict_us=self.predict_us, batch=1, rows=1,
                )
            )  # fmt: skip
            return False
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises is its own affair
            replies.failed(item, error)
            return False
        self.predict_us += (time.monotonic_ns() - start) // 1000
        if replies.part(item, part):
            return True
        self.close()
        return False

    def close(self) -> None:
        """Nobody waits for the rest: let the model clean up after itself."""
        close = getattr(self._parts, "close", None)
        if close is None:
            return
        try:
            close()
        except (Exception, SystemExit):  # noqa: BLE001 - whatever a model raises is its own affair
            traceback.print_exc(file=sys.stderr)


def whole(item: Item, parts: Iterator[Any], queue_us: int) -> None:
    """Send all parts as one answer."""
    start = time.monotonic_ns()
    try:
        kept = []
        for part in parts:
            kept.append(part)
            if len(kept) > replies.MAX_PARTS:
                raise replies.too_many_parts()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model raises is its own affair
        replies.failed(item, error)
        return
    replies.answer(item, kept, queue_us, (time.monotonic_ns() - start) // 1000)
