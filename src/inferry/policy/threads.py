"""Threads: how many processor threads a prediction may use, and how many predictions run at a time. Pure.

Replicas run side by side, so what they use together should be the machine's cores. Threads within
a prediction shorten it only when the model has enough work to share out; for all others they cost
more than they give, so more than one is used only where it was measured to pay. Several predictions
at a time use the cores too, and share one copy of the model, where batching does not do better.

What pays changes with what else the machine does: threads that wait for a core that another process has are slower
than none. So a model that can be had both ways is asked the other way now and then (`Ways`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from statistics import median

PAYS = 1.2
SOON = 32  # calls between tries when nothing is known, or what was known has changed
RARELY = 256  # between tries that found nothing again and again: the 99th percentile does not see two calls of these
SLOWER = 4
TRIES = 3
BETTER = 0.85  # of the time that the present way takes
DRIFT = 1.25
SHAPES = 16


def choose_threads(asked: int, cores: int, replicas: int, gain: float) -> int:
    """Threads for each of `replicas` replicas on `cores` cores.

    `asked`: what the revision says (0: nothing). `gain`: how many times faster one prediction was with
    all cores than with one when the model was inspected (0: not measured).
    """
    if asked:
        return asked
    return max(1, cores // max(1, replicas)) if gain >= PAYS else 1


def threads_to_try(asked: int, cores: int, replicas: int, gain: float) -> int:
    """Threads that a replica may try beside what `choose_threads` says; 0 when it was told, or they cannot matter."""
    return 0 if asked or not gain else max(1, cores // max(1, replicas))


def choose_workers(
    asked: int, cores: int, replicas: int, saving: float, gain: float = 0.0, *, on_cpu: bool = True
) -> int:
    """How many calls of the model a replica runs at the same time, when its runtime can.

    `asked`: the threads that the revision says (0: nothing). `saving`: how many times less a row costs in a batch
    (`batching.saving`); `gain`: as in `choose_threads`. One call at a time gets the largest batches and all threads,
    which must clearly do more together than as many calls as there are cores. On another device, where calls do not
    compute beside each other, batches only have to pay.
    """
    share = max(1, cores // (max(1, replicas) * max(1, asked)))
    alone = saving * (min(gain, share) if gain >= PAYS and not asked else 1.0)
    return 1 if saving > 1 and (not on_cpu or alone >= share * PAYS) else share


class Ways:
    """Which of two ways to call a model is the quicker one now: with many threads, or with one.

    After `SOON` calls two go the other way, the first to warm it up; the second is compared with what a call of the
    same shape takes (a moving average). When the median of the last `TRIES` took less than `BETTER` of that, the other
    way is taken from then on. Tries become rarer while they find nothing, and what calls take stays.
    """

    def __init__(self, *, many: bool) -> None:
        self.many = many
        self._usual: dict[Hashable, float] = {}
        self._then: dict[Hashable, float] = {}
        self._ratios: deque[float] = deque(maxlen=TRIES)
        self._every = SOON
        self._since = 0

    def next(self, shape: Hashable) -> bool:
        """Whether the next call, of this shape, takes many threads."""
        self._since += 1
        if self._since <= self._every or shape not in self._usual:
            return self.many
        if self._since > self._every + 1:
            self._since = 0
        return not self.many

    def took(self, shape: Hashable, seconds: float, *, many: bool) -> None:
        """Learn what a call took that no other was beside."""
        before = self._usual.get(shape)
        if many != self.many:
            if before is not None and not self._since:
                self._tried(seconds / before)
        elif before is None:
            if len(self._usual) >= SHAPES:
                oldest = next(iter(self._usual))
                del self._usual[oldest], self._then[oldest]
            self._usual[shape] = self._then[shape] = seconds
        else:
            self._usual[shape] = usual = before + (seconds - before) / 16
            if not 1 / DRIFT < usual / self._then[shape] < DRIFT:
                self._then[shape], self._every, self._since = usual, SOON, min(self._since, SOON)

    def _tried(self, ratio: float) -> None:
        self._ratios.append(ratio)
        if len(self._ratios) == TRIES and median(self._ratios) < BETTER:
            self.many = not self.many
            self._usual.clear()
            self._then.clear()
            self._ratios.clear()
            self._every = SOON
        else:
            self._every = SOON if ratio < BETTER else min(RARELY, self._every * SLOWER)
