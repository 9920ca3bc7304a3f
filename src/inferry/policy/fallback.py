"""Fall-back: whether a revision crashes so that its endpoint should return to the one before. Pure."""

from __future__ import annotations

WATCH_S = 900.0
"""For how long after it was made a revision is given up; later it is rather the input that changed."""
TRIES = 3
BY_HAND = "signal SIGKILL"
"""How an end begins that nobody knows the reason of: an operator's kill is not the model's fault."""


def due(age_s: float, deaths: int, why: str) -> bool:
    """Whether to give up a revision made so many seconds ago, whose replicas died so many times in a row, each soon
    after it had begun. `why`: how the last one ended."""
    return age_s < WATCH_S and deaths >= TRIES and not why.startswith(BY_HAND)


def because(deaths: int, why: str) -> str:
    """The reason, in words."""
    return f"its replicas died {deaths} times in a row, the last by {why}"
