"""Admission: whether a new request is queued, or refused because waiting would be for nothing. Pure.

A queue that grows without bound makes every request late; one that is bounded by time keeps those it
takes within their deadlines and the replicas at full speed, and tells the others when to come back.
"""

from __future__ import annotations

from inferry.errors import Overloaded

MAX_QUEUE = 1024
MAX_INFLIGHT = 4096
MAX_BYTES = 512 << 20
MARGIN = 1.25
"""The estimated wait is taken for this much longer: the time a model takes varies."""


def admit(inflight: int, held_bytes: int, size: int) -> None:
    """Raise Overloaded when the gateway has all it can hold: `inflight` requests with `held_bytes` of bodies.

    `size`: bytes of the new request's body.
    """
    if inflight >= MAX_INFLIGHT or held_bytes + size > MAX_BYTES:
        raise Overloaded("Too many requests are under way.", help="Retry after a pause.", retry_after=1.0)


def queue(waiting: int, wait_us: float, timeout_us: int) -> None:
    """Raise Overloaded unless a request may join the `waiting` ones at a replica.

    `wait_us`: until it would be answered; `timeout_us`: by when it must be. `retry_after` is the time in
    which the queue gets short enough.
    """
    if wait_us * MARGIN > timeout_us:
        raise Overloaded(
            f"The request would wait about {wait_us / 1e6:.2g} s, longer than its deadline allows.",
            help="Retry later, allow more time with the header inferry-timeout, or add replicas.",
            retry_after=(wait_us * MARGIN - timeout_us) / 1e6,
        )
    if waiting >= MAX_QUEUE:
        raise Overloaded(
            f"{MAX_QUEUE} requests wait for this endpoint already.",
            help="Retry later, or add replicas.",
            retry_after=wait_us / 2e6,
        )
