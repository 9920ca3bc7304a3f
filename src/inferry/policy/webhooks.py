"""Webhooks: who is told what, in which order, and when a delivery is tried again. Pure.

Data flow: (patterns, type) -> `wants`. (waiting deliveries, now) -> `pick` -> the next one to send. (answer, tries,
now) -> `settle` -> delivered, due again, or dead.

A hook is sent one event at a time, in the order in which they happened. One that fails holds those behind it back
for its first HOLD tries, about a minute and a half; from then on it is tried beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

from inferry.errors import InvalidInput
from inferry.types.webhooks import EVENT_TYPES, Delivery

FIRST_S, LONGEST_S = 5.0, 7200.0
GIVE_UP_S = 86_400.0
HOLD = 5
MAX_PATTERNS = 32
JOBS = "job."
PATTERN = re.compile(r"\*|[a-z-]+(\.[a-z-]+)*(\.\*)?")
SECONDS = re.compile(r"[0-9]{1,9}")


class Settled(NamedTuple):
    """What becomes of a delivery. `off`: why its hook is sent nothing any more ("": it is)."""

    state: Literal["waiting", "delivered", "dead"]
    due: float = 0.0
    off: str = ""


def check_patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    """The patterns, when each can match something. Raises InvalidInput."""
    found = tuple(dict.fromkeys(patterns))
    if not found or len(found) > MAX_PATTERNS:
        raise InvalidInput("A webhook needs events to be told of.", help=f"Name 1 to {MAX_PATTERNS}, or * for all.")
    for pattern in found:
        if not PATTERN.fullmatch(pattern) or not any(wants((pattern,), known) for known in EVENT_TYPES):
            raise InvalidInput(
                f"{pattern[:60]!a} names no event.",
                help=f"Known: {', '.join(EVENT_TYPES)}; rollout.* means all of them.",
            )
    return found


def wants(patterns: Iterable[str], type: str) -> bool:
    """Whether one of the patterns names the type: itself, all below a word (`rollout.*`), or everything (`*`) but the
    ends of jobs, of which there may be thousands in a minute."""
    return any(
        type == pattern
        or (pattern == "*" and not type.startswith(JOBS))
        or (pattern.endswith(".*") and type.startswith(pattern[:-1]))
        for pattern in patterns
    )


def pick(waiting: Sequence[Delivery], now: float) -> Delivery | None:
    """The delivery to send now. `waiting`: one hook's, in order."""
    for delivery in waiting:
        if delivery.due <= now:
            return delivery
        if delivery.tries < HOLD:
            return None
    return None


def settle(status: int, tries: int, since: float, now: float, chance: float, retry_after: str | None = None) -> Settled:
    """What becomes of a delivery after its `tries`-th answer with `status` (0: none came). `chance`: 0 to 1, spreads
    the tries of many. A receiver that says 410 wants nothing any more."""
    if 200 <= status < 300:
        return Settled("delivered")
    if status == 410:
        return Settled("dead", off="the receiver answered 410 Gone")
    if now >= since + GIVE_UP_S:
        return Settled("dead")
    wait = min(LONGEST_S, FIRST_S * 2.0 ** min(tries - 1, 30)) * (0.5 + chance / 2)
    return Settled("waiting", min(now + max(wait, seconds(retry_after, now)), since + GIVE_UP_S))


def seconds(retry_after: str | None, now: float) -> float:
    """How long a Retry-After header asks to wait: seconds, or a date (RFC 9110, 10.2.3); 0 for none and nonsense."""
    text = (retry_after or "").strip()
    if SECONDS.fullmatch(text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0
