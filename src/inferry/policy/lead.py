"""Who leads, as pure decisions over the lease.

Data flow: (lease, who asks, the database's time) -> lead | follow | step down; (last renewal, lease, this machine's
time) -> whether a leader may act outside the database. The lease is that of C. Gray and D. Cheriton (1989), the epoch a
fencing token: what is acted on refuses an older one, so that no clock has to be right for safety, only for liveness.
"""

from __future__ import annotations

from typing import Literal

from inferry.types.lead import Claim, Lease

Step = Literal["lead", "follow", "step down"]


def decide(lease: Lease | None, me: Claim, now: float, *, gone: bool = False) -> Step:
    """What a process does that has just looked. `now`: the database's time; `gone`: the holder's process is known to
    have ended, so that nothing need be waited for.

    Who leads by the epoch of the lease goes on, also after it has run out: nobody took it. Whoever does not lead takes
    a lease that has run out (a holder that went in order lets it run out at once).
    """
    if me.epoch:
        held = lease is not None and (lease.epoch, lease.holder) == (me.epoch, me.holder)
        return "lead" if held else "step down"
    if lease is None or gone or lease.until <= now:
        return "lead"
    return "follow"


def next_epoch(lease: Lease | None, known: int) -> int:
    """The epoch of who takes the lease now. `known`: the highest that this machine has seen, which counts where the
    database was set back to an older state."""
    return max(0 if lease is None else lease.epoch, known) + 1


def may_act(confirmed: float, lease_s: float, now: float) -> bool:
    """Whether a leader may start or stop something. `confirmed`: when it last asked the database and was not refused
    (a moment before the question was sent), by a clock of this machine that also counts while it sleeps."""
    return now - confirmed < lease_s
