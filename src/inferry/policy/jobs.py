"""Jobs: what an attempt's answer means for its job, and who may put more into the queue.

Data flow: status, error code, what was tried before -> a Verdict. Sizes and counts -> nothing, or the refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inferry.errors import Overloaded, TooLarge, Unavailable

FIRST_S, LONGEST_S = 1.0, 60.0
SHORT_S = 0.25
MOST_LOSSES = 20
PATIENCE_S = 86_400.0
"""How long a job may wait for an endpoint that cannot answer."""

OURS = (0, 401, 403, 429, 503)
"""Nothing came, our key is not known yet, or nobody had time: not the job's fault."""
AGAIN = (408, 500, 502, 504)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What comes of an attempt. `wait_s`: until the next; `failed`, `lost`: what it counts as."""

    end: Literal["", "succeeded", "dead"] = ""
    wait_s: float = 0.0
    failed: bool = False
    lost: bool = False


def judge(
    status: int, code: str, retry_after: float, failures: int, attempts: int, losses: int, age_s: float, spread: float
) -> Verdict:
    """The verdict on an answer of `status` (0: none came). `spread`: 0 to 1, so that many do not come back at once."""
    if 200 <= status < 300:
        return Verdict(end="succeeded")
    if status in OURS and code != "replica_lost":
        lost = status == 0
        if age_s > PATIENCE_S or (lost and losses + 1 >= MOST_LOSSES):
            return Verdict(end="dead", lost=lost)
        return Verdict(wait_s=max(retry_after, SHORT_S * 2 ** min(losses, 6)) * (0.75 + spread / 2), lost=lost)
    if status not in AGAIN and code != "replica_lost":
        return Verdict(end="dead", failed=True)
    if failures + 1 >= attempts:
        return Verdict(end="dead", failed=True)
    return Verdict(wait_s=min(LONGEST_S, FIRST_S * 2**failures) * (0.75 + spread / 2), failed=True)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the queue holds: jobs that have not ended, and bytes of requests and results. Of both one key gets half."""

    jobs: int = 100_000
    bytes: int = 8 << 30

    def admit(self, size: int, of_key: tuple[int, int], of_all: tuple[int, int]) -> None:
        """Raise unless a request of `size` bytes may come to what is there (jobs, bytes)."""
        if size > self.bytes // 2:
            raise TooLarge(f"A job of {size} bytes is over the limit of {self.bytes // 2}.", help="Send fewer rows.")
        if of_key[0] >= max(1, self.jobs // 2):
            raise Overloaded(
                f"This key has {of_key[0]} jobs that have not ended, as many as it may.",
                help="Wait for some, or cancel some.", retry_after=5.0,
            )  # fmt: skip
        if of_key[1] + size > self.bytes // 2:
            raise Overloaded(
                f"The jobs of this key hold {of_key[1]} bytes; {size} more are too many.",
                help="Wait until results expire (inferry-keep makes that sooner), or until jobs end.", retry_after=30.0,
            )  # fmt: skip
        if of_all[0] >= self.jobs or of_all[1] + size > self.bytes:
            raise Unavailable(
                "The queue of jobs is full; this one was not accepted.",
                help="Send it again later.", retry_after=10.0,
            )  # fmt: skip
