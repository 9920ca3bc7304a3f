"""Admission: whether a new request is queued, or refused because waiting would be for nothing. Pure.

A queue that grows without bound makes every request late; one that is bounded by time keeps those it
takes within their deadlines and the replicas at full speed, and tells the others when to come back.
"""

from __future__ import annotations

import math

from inferry.errors import Overloaded

MAX_QUEUE = 1024
MAX_INFLIGHT = 4096
MAX_BYTES = 512 << 20
MARGIN = 1.25
"""The estimated wait is taken for this much longer at least: the time a model takes varies."""
MAX_MARGIN = 3.0
SLACK = 1.2
"""What is left between the longest wait of late and the deadline."""
HALF_US = 30e6
"""After this time half of what the margin was widened is forgotten."""


def admit(inflight: int, held_bytes: int, size: int) -> None:
    """Raise Overloaded when the gateway has all it can hold: `inflight` requests with `held_bytes` of bodies.

    `size`: bytes of the new request's body.
    """
    if inflight >= MAX_INFLIGHT or held_bytes + size > MAX_BYTES:
        raise Overloaded("Too many requests are under way.", help="Retry after a pause.", retry_after=1.0)


def queue(waiting: int, wait_us: float, timeout_us: int, margin: float) -> None:
    """Raise Overloaded unless a request may join the `waiting` ones at a replica.

    `wait_us`: until it would be answered; `timeout_us`: by when it must be; `margin`: for how many times longer the
    wait is taken. `retry_after` is the time in which the queue gets short enough.
    """
    if wait_us * margin > timeout_us:
        raise Overloaded(
            f"The request would wait about {wait_us / 1e6:.2g} s, longer than its deadline allows.",
            help="Retry later, allow more time with the header inferry-timeout, or add replicas.",
            retry_after=(wait_us - timeout_us / margin) / 1e6,
        )
    if waiting >= MAX_QUEUE:
        raise Overloaded(
            f"{MAX_QUEUE} requests wait for this endpoint already.",
            help="Retry later, or add replicas.",
            retry_after=wait_us / 2e6,
        )


def widened(margin: float, foreseen_us: float, took_us: float) -> float:
    """The margin after a request that waited `took_us` where `foreseen_us` was estimated.

    One slow moment of the machine makes all late that were let in before it. Where such moments come, what waits must
    be less; as the queue never empties for that, the replica answers as many. A request that was given up counts with
    the time it had, so the margin grows step by step until none is.
    """
    return min(max(margin, SLACK * took_us / foreseen_us), MAX_MARGIN)


def narrowed(margin: float, passed_us: float) -> float:
    """The margin after a time in which nothing waited longer than foreseen."""
    return MARGIN + (margin - MARGIN) * math.exp2(-passed_us / HALF_US)
