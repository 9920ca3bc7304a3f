"""FeedbackStore: answers that were kept, and what turned out to be true. Each call is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inferry.types.feedback import Capture, FeedbackItem, FeedbackResult, Joined


class FeedbackStore(Protocol):
    """Has one writer."""

    def add_captures(self, captures: Sequence[Capture], now: float) -> tuple[list[Capture], list[Joined]]:
        """Keep answers. Returns those that are new (of an id that is known at its endpoint the first stays), and those
        that truths had been waiting for."""
        ...

    def add_truths(
        self, items: Sequence[FeedbackItem], endpoints: Sequence[str], now: float
    ) -> tuple[list[FeedbackResult], list[Joined]]:
        """Keep what turned out to be true, for these endpoints ("*": for all). Returns what became of each item, and
        the predictions that met their truth for the first time."""
        ...

    def joined(self, endpoint: str, since: float, most: int) -> list[Joined]:
        """Predictions made since then that have a truth, the latest `most` of them, oldest first."""
        ...

    def captures(self, endpoint: str, revision: int, before: float, most: int) -> list[Capture]:
        """What a revision answered before a moment, the latest `most`, oldest first."""
        ...

    def captured(self, endpoint: str, since: float) -> dict[int, int]:
        """How many answers of each version are kept, made since then."""
        ...

    def forget_old(self, before: float, most: int) -> int:
        """Remove what is older, and the oldest of an endpoint that has more than `most` answers. How many went."""
        ...
