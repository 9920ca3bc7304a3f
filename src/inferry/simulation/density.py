"""Density in virtual time: a trace of requests for models that do not all fit, under a rule for who leaves.

Data flow: requests (second, model), what each model holds and costs to load -> loaded when it is not there, others
leave for it as the rule says -> Replayed: hits, and the seconds of loading. The rule of the platform is
`policy.density` itself; beside it LRU, and Belady's rule for models of different size, which knows the future.
Requests are answered at once: nobody is ever at work when memory is needed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from inferry.policy import density


class Asked(NamedTuple):
    """A request: when (seconds), and for which model."""

    at: float
    name: str


class Weight(NamedTuple):
    """What a model holds when it is loaded (bytes), and how long that takes (seconds)."""

    size: int
    cost_s: float


@dataclass
class Replayed:
    """What a trace led to. `reloads`: seconds that each load took; `most`: bytes that were held at a time."""

    requests: int = 0
    hits: int = 0
    most: int = 0
    reloads: list[float] = field(default_factory=list)

    @property
    def hit_rate(self) -> float:
        """Requests that found their model loaded."""
        return self.hits / max(1, self.requests)

    @property
    def reload_s(self) -> float:
        """Seconds of loading in all."""
        return sum(self.reloads)


class Rule(Protocol):
    """Who leaves."""

    def asked(self, place: int, asked: Asked, loaded: Mapping[str, int]) -> None:
        """A request came; `place`: its number in the trace."""
        ...

    def leave(self, needed: int, loaded: Mapping[str, int], place: int) -> Iterable[str]:
        """Who leaves so that so many bytes come free."""
        ...


class Ours:
    """`policy.density`, with what control knows."""

    def __init__(self, weights: Mapping[str, Weight]) -> None:
        self._weights = weights
        self._uses: dict[str, density.Uses] = {}
        self._seconds: dict[str, int] = {}
        self._loads = 0

    def asked(self, place: int, asked: Asked, loaded: Mapping[str, int]) -> None:  # noqa: ARG002
        """A second with requests is a use, as the gateway tells them."""
        self._loads += asked.name not in loaded
        if self._seconds.get(asked.name) != int(asked.at):
            self._seconds[asked.name] = int(asked.at)
            before = self._uses.get(asked.name, density.Uses())
            self._uses[asked.name] = density.used(before, 1, self._loads, len(loaded))

    def leave(self, needed: int, loaded: Mapping[str, int], place: int) -> Iterable[str]:  # noqa: ARG002
        """The least worth."""
        return density.make_room(needed, [self._loaded(name, size, loaded) for name, size in loaded.items()]).leave

    def _loaded(self, name: str, size: int, loaded: Mapping[str, int]) -> density.Loaded:
        amount = density.faded(self._uses[name], self._loads, len(loaded))
        return density.Loaded(name, size, density.worth(amount, self._weights[name].cost_s, size))


class Lru:
    """Who was not asked for the longest leaves."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def asked(self, place: int, asked: Asked, loaded: Mapping[str, int]) -> None:  # noqa: ARG002
        """Remember."""
        self._last[asked.name] = place

    def leave(self, needed: int, loaded: Mapping[str, int], place: int) -> Iterable[str]:  # noqa: ARG002
        """The oldest."""
        return until(needed, loaded, sorted(loaded, key=self._last.__getitem__))


class Belady:
    """Knows the future: who saves the least for the bytes and the time until it is asked for again leaves. For models
    of one size and cost that is Belady's rule (1966), and nobody can do better; for others it is a good one."""

    def __init__(self, trace: Sequence[Asked], weights: Mapping[str, Weight]) -> None:
        self._weights = weights
        self._places: dict[str, list[int]] = {}
        for place, asked in enumerate(trace):
            self._places.setdefault(asked.name, []).append(place)

    def asked(self, place: int, asked: Asked, loaded: Mapping[str, int]) -> None:
        """Nothing to learn."""

    def leave(self, needed: int, loaded: Mapping[str, int], place: int) -> Iterable[str]:
        """By seconds saved for each byte and request until then."""
        return until(needed, loaded, sorted(loaded, key=lambda name: self._saves(name, place)))

    def _saves(self, name: str, place: int) -> float:
        places = self._places[name]
        after = bisect_right(places, place)
        if after == len(places):
            return 0.0
        weight = self._weights[name]
        return weight.cost_s / (weight.size * (places[after] - place))


def until(needed: int, loaded: Mapping[str, int], order: Iterable[str]) -> list[str]:
    """As many in this order as it takes."""
    leaving: list[str] = []
    for name in order:
        if needed <= 0:
            break
        leaving.append(name)
        needed -= loaded[name]
    return leaving


def replay(trace: Sequence[Asked], weights: Mapping[str, Weight], budget: int, rule: Rule) -> Replayed:
    """What becomes of a trace. A model larger than the budget is an error of the caller's."""
    loaded: dict[str, int] = {}
    held, done = 0, Replayed()
    for place, asked in enumerate(trace):
        done.requests += 1
        rule.asked(place, asked, loaded)
        if asked.name in loaded:
            done.hits += 1
            continue
        weight = weights[asked.name]
        for name in rule.leave(held + weight.size - budget, loaded, place):
            held -= loaded.pop(name)
        loaded[asked.name] = weight.size
        held += weight.size
        done.most = max(done.most, held)
        done.reloads.append(weight.cost_s)
    return done
