"""Density: which loaded models leave when another one needs their memory. Pure.

What a model is worth is what keeping it saves, for each byte that it holds: how often it was used of late, times the
seconds that loading it again would take, divided by its size. The least worth leaves first. Size and cost are weighed
as in GreedyDual-Size-Frequency (L. Cherkasova, 1998) and Landlock (N. Young, 2002); uses fade by half over and over as
in LRFU (D. Lee et al., 2001), so recency counts too. They fade with loads rather than with time: as many loads as
FADE times what is loaded halve them. So nothing need be known of how fast requests come.

A second with many requests is one use and a bit: what counts is whether the model is asked for again, not how hard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log2
from typing import NamedTuple

FADE = 6.0
LEAST_LOADED = 4
LEAST_COST_S = 0.001


class Uses(NamedTuple):
    """How often a model was used of late, as of the load number `at`."""

    amount: float = 0.0
    at: int = 0


class Loaded(NamedTuple):
    """A loaded copy that may leave: `size` is what it would give back, in bytes."""

    name: str
    size: int
    worth: float


class Room(NamedTuple):
    """Who leaves, the least worth first, and whether that is enough."""

    leave: tuple[str, ...]
    enough: bool


def faded(uses: Uses, loads: int, loaded: int) -> float:
    """What is left of its uses, when `loads` models have been loaded in all and `loaded` are there now."""
    return uses.amount * float(2.0 ** (-(loads - uses.at) / (FADE * max(LEAST_LOADED, loaded))))


def used(uses: Uses, requests: int, loads: int, loaded: int) -> Uses:
    """It was asked so often within a second."""
    return Uses(faded(uses, loads, loaded) + 1.0 + log2(max(1, requests)), loads)


def worth(amount: float, cost_s: float, size: int) -> float:
    """Seconds of loading that keeping it saves for each gigabyte, by its `amount` of faded uses."""
    return amount * max(LEAST_COST_S, cost_s) / max(1, size) * 1e9


def make_room(needed: int, loaded: Iterable[Loaded]) -> Room:
    """Who leaves so that so many bytes come free. Nobody does when all of them together are not enough.

    Of those that were taken, the most worth stay when the rest is enough without them.
    """
    if needed <= 0:
        return Room((), enough=True)
    taken: list[Loaded] = []
    got = 0
    for one in sorted(loaded, key=lambda one: one.worth):
        taken.append(one)
        got += one.size
        if got >= needed:
            return Room(tuple(one.name for one in spared(taken, got - needed)), enough=True)
    return Room((), enough=False)


def spared(taken: Sequence[Loaded], spare: int) -> list[Loaded]:
    """Without those that need not leave, the most worth spared first."""
    kept = list(taken)
    for one in sorted(taken, key=lambda one: -one.worth):
        if one.size <= spare:
            kept.remove(one)
            spare -= one.size
    return kept
