"""Pace: how long a request will wait at one replica, and how far that was off of late.

Data flow: answers -> the time between two of them -> how long the next request would wait -> whether it may; of
those that wait long one at a time is watched, and how much longer it took than foreseen widens the margin.
"""

from __future__ import annotations

import time

from inferry.gateway.live import Pending
from inferry.policy import admission

LEARN = 0.05  # how much one answer moves the estimate of the time a request takes
LONG = 4  # a wait is long from this part of what the request allows


class Pace:
    """How fast a replica drains its queue. Times in microseconds.

    `service_us`: the time between two answers while there is work, so a queue of n takes n times that.
    `predict_us`: how long its latest call of the model took. `margin`: for how many times longer a wait is taken.
    `foreseen_us`: the wait of the request that was let in last, if long. `watched`: whether that holds for a request.
    """

    __slots__ = (
        "_narrowed",
        "_since",
        "_watched_us",
        "_worked",
        "foreseen_us",
        "margin",
        "predict_us",
        "service_us",
        "watched",
    )

    def __init__(self) -> None:
        self.service_us = self.foreseen_us = self._watched_us = 0.0
        self.predict_us = self._worked = self._since = self._narrowed = 0
        self.margin = admission.MARGIN
        self.watched: Pending | None = None

    def begin(self, now: int) -> None:
        """It gets something to do after it had nothing."""
        self._worked = now

    def learn(self, now: int, ended: int) -> None:
        """It answered as many at once as `ended` says."""
        spent = (now - self._worked) / ended
        self._worked = now
        self.service_us += (spent - self.service_us) * (min(1.0, LEARN * ended) if self.service_us else 1.0)

    def wait_us(self, waiting: int) -> float:
        """How long a request sent now will take: all before it, itself, and the batch that runs."""
        return (waiting + 1) * self.service_us + self.predict_us if waiting else 0.0

    def admit(self, held: int, streams: int, timeout_us: int) -> None:
        """Raise Overloaded unless a request may join the `held` ones, of which `streams` are being answered."""
        wait_us = self.wait_us(held - streams)
        long = wait_us * LONG > timeout_us
        if long:
            self._narrow(time.monotonic_ns() // 1000)
        admission.queue(held, wait_us, timeout_us, self.margin)
        self.foreseen_us = wait_us if long else 0.0

    def watch(self, pending: Pending) -> None:
        """See how long the request that was let in last takes, unless another is watched."""
        if self.watched is None:
            self.watched, self._watched_us, self._since = pending, self.foreseen_us, time.monotonic_ns() // 1000

    def ended(self) -> None:
        """The request that is watched has its answer, or is too late for one."""
        now = time.monotonic_ns() // 1000
        self._narrow(now)
        self.margin = admission.widened(self.margin, self._watched_us, now - self._since)
        self.watched = None

    def _narrow(self, now: int) -> None:
        self.margin = admission.narrowed(self.margin, now - self._narrowed)
        self._narrowed = now
