"""Stops: the texts at which an answer ends, found in text that comes piece by piece.

Data flow: piece -> `feed` -> what may be told now; what could be the beginning of a stop is kept until the next
piece shows whether it is. The stop itself is never told. However the text is cut, the same is told in the end.
"""

from __future__ import annotations

from collections.abc import Iterable


class Stops:
    """The stops of one answer. `hit`: one was found, so the text has ended."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._kept = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """The text that is certain to come before any stop. Where several are found, the one that ends first counts."""
        kept = self._kept + text
        found = [(at + len(stop), at) for stop in self._stops if (at := kept.find(stop)) >= 0]
        if found:
            self.hit, self._kept = True, ""
            return kept[: min(found)[1]]
        sure = len(kept) - max((_begun(kept, stop) for stop in self._stops), default=0)
        self._kept = kept[sure:]
        return kept[:sure]

    def rest(self) -> str:
        """What was kept back, once there is no more."""
        kept, self._kept = self._kept, ""
        return kept


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if stop.startswith(text[-size:])), 0)
