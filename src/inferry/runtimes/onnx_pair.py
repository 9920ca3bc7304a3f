"""Two sessions of one ONNX model: one computes a call with many threads, the other with one.

A call that finds another under way takes one thread: by then the cores have enough to do, and threads that work
together would only wait for each other. A lone call takes what is quicker now (`policy.threads.Ways`).
"""

from __future__ import annotations

import threading
import time
from typing import Any

from inferry.policy.threads import Ways


class Pair:
    """Runs as a session does. `ways`: which of the two a lone call takes; None: always the one with many threads."""

    def __init__(self, many: Any, one: Any, ways: Ways | None) -> None:
        self._many, self._one, self._ways = many, one, ways
        self._lock = threading.Lock()
        self._under_way = 0
        self._begun = 0

    def run(self, outputs: list[str], feeds: dict[str, Any]) -> Any:
        """The graph's outputs. Raises as a session does."""
        with self._lock:
            beside = self._under_way
            self._under_way += 1
            self._begun += 1
            begun = self._begun
        try:
            if beside:
                return self._one.run(outputs, feeds)
            if self._ways is None:
                return self._many.run(outputs, feeds)
            return self._alone(self._ways, outputs, feeds, begun)
        finally:
            with self._lock:
                self._under_way -= 1

    def _alone(self, ways: Ways, outputs: list[str], feeds: dict[str, Any], begun: int) -> Any:
        shape = tuple([feed.shape for feed in feeds.values()])
        many = ways.next(shape)
        started = time.perf_counter()
        answers = (self._many if many else self._one).run(outputs, feeds)
        if self._begun == begun:
            ways.took(shape, time.perf_counter() - started, many=many)
        return answers
