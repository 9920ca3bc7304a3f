"""Threads: how many processor threads one prediction of a replica may use. Pure.

Replicas run side by side, so what they use together should be the machine's cores. Threads within
a prediction shorten it only when the model has enough work to share out; for all others they cost
more than they give, so more than one is used only where it was measured to pay.
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
