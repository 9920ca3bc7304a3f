"""Endings: what clients are told whose requests a replica had begun when it died.

The gateway sees its socket close; why, control knows a few milliseconds later. So long these requests wait for the
word, and at most WORD_S.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferry.gateway.live import Pending
from inferry.gateway.refusals import lost

if TYPE_CHECKING:
    from inferry.gateway.core import Core

WORD_S = 0.1
KEPT_S = 10.0


class Endings:
    """The requests that wait, and the words that came."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: dict[str, list[Pending]] = {}
        self._words: dict[str, str] = {}

    def fail(self, replica: str, begun: list[Pending]) -> None:
        """A replica is gone that had begun these."""
        if begun:
            self._waiting.setdefault(replica, []).extend(begun)
            if replica in self._words:
                self._finish(replica)
            else:
                self._core.loop.call_later(WORD_S, self._finish, replica)

    def told(self, replica: str, why: str) -> None:
        """Why it died."""
        self._words[replica] = why
        self._core.loop.call_later(KEPT_S, self._words.pop, replica, None)
        self._finish(replica)

    def drop(self, pending: Pending) -> bool:
        """Let go of one request; whether it waited here."""
        for waiting in self._waiting.values():
            if pending in waiting:
                waiting.remove(pending)
                return True
        return False

    def _finish(self, replica: str) -> None:
        why = self._words.get(replica, "")
        for pending in self._waiting.pop(replica, ()):
            self._core.finish(pending, lost(why))
