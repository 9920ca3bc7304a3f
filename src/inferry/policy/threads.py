"""Threads: how many processor threads a prediction may use, and how many predictions run at a time. Pure.

Replicas run side by side, so what they use together should be the machine's cores. Threads within
a prediction shorten it only when the model has enough work to share out; for all others they cost
more than they give, so more than one is used only where it was measured to pay. Several predictions
at a time use the cores too, and share one copy of the model, where batching does not do better.
"""

from __future__ import annotations

PAYS = 1.2


def choose_threads(asked: int, cores: int, replicas: int, gain: float) -> int:
    """Threads for each of `replicas` replicas on `cores` cores.

    `asked`: what the revision says (0: nothing). `gain`: how many times faster one prediction was with
    all cores than with one when the model was inspected (0: not measured).
    """
    if asked:
        return asked
    return max(1, cores // max(1, replicas)) if gain >= PAYS else 1


def choose_workers(asked: int, cores: int, replicas: int, batch_rows: int) -> int:
    """How many calls of the model a replica runs at the same time, when its runtime can.

    `asked`: the threads that the revision says (0: nothing). `batch_rows`: how far batching pays; where it
    does, one call at a time gets the largest batches.
    """
    return 1 if batch_rows > 1 else max(1, cores // (max(1, replicas) * max(1, asked)))
