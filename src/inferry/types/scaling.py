"""Scaling: how many replicas a revision may have, what is measured of its load, and what was decided.

Data flow: the gateway's Loads -> control adds what it knows -> Snapshot -> `policy.scale.decide` -> Decision, whose
Figures people can read.
"""

from __future__ import annotations

import msgspec

from inferry.types.units import length_text

MAX_REPLICAS = 256
AUTO = 0.0
"""An idle timeout that is chosen from cost."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Other limits from each moment of `cron` (five fields, on the clock of `zone`): for `for_s` seconds, or (0) until
    the next entry without a length. None: this limit stays as it is."""

    cron: str
    zone: str = "UTC"
    min_replicas: int | None = None
    max_replicas: int | None = None
    for_s: float = 0.0

    @property
    def text(self) -> str:
        """As people write it: `0 8 * * mon-fri Europe/Berlin min=2 for=10h`."""
        limits = [("min", self.min_replicas), ("max", self.max_replicas)]
        said = [f"{name}={count}" for name, count in limits if count is not None]
        return " ".join([self.when, *said, *([f"for={length_text(self.for_s)}"] if self.for_s else [])])

    @property
    def when(self) -> str:
        """When it begins: the expression and its zone."""
        return f"{self.cron} {self.zone}"


class Scaling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Between which numbers a revision's replicas vary, and how. `target_concurrency`: requests at one replica, on
    average; or `target_latency_s`: 95 % of the answers within it (0: by concurrency). `idle_timeout_s`: without a
    request for so long, none runs (only where `min_replicas` is 0; AUTO: for how long is chosen from cost, where a
    second in which a request waits costs as much as `wait_price` of an idle replica). `down_delay_s`: replicas go when
    they were not needed for so long. `buffer_replicas`: more than needed while there are requests. `schedule`: other
    limits at certain times."""

    min_replicas: int = 1
    max_replicas: int = 1
    target_concurrency: float = 2.0
    target_latency_s: float = 0.0
    idle_timeout_s: float = 300.0
    down_delay_s: float = 60.0
    buffer_replicas: int = 0
    wait_price: float = 100.0
    schedule: tuple[Schedule, ...] = ()

    @property
    def lowest(self) -> int:
        """The fewest that may have to do, at whatever time."""
        return min([self.min_replicas, *(one.min_replicas for one in self.schedule if one.min_replicas is not None)])

    @property
    def highest(self) -> int:
        """The most that may run, at whatever time."""
        said = [count for one in self.schedule for count in (one.min_replicas, one.max_replicas) if count is not None]
        return max([self.max_replicas, *said])


class Load(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a gateway knows of a revision's load. Since it started: `busy_us`, time that requests spent at replicas,
    those under way included, and how many `arrived`. Now: `waiting` for a replica, `in_flight` at one; `missed`:
    copies for a shadow since the last report that found no replica. `service_us`: between two answers of a replica
    that has work (0: not known). `late`: since the gateway started, answers that took longer than the target."""

    endpoint: str
    revision: int
    busy_us: int = 0
    arrived: int = 0
    waiting: int = 0
    in_flight: int = 0
    missed: int = 0
    service_us: float = 0.0
    late: float = 0.0


class Loads(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The loads that changed since the last report of a gateway that started at `epoch` (Unix nanoseconds)."""

    epoch: int
    of: tuple[Load, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision rests on: a Load in seconds, how many replicas are `ready`, and how long a start takes."""

    busy_s: float = 0.0
    arrived: int = 0
    waiting: int = 0
    in_flight: int = 0
    ready: int = 0
    service_s: float = 0.0
    cold_start_s: float = 0.0
    late: float = 0.0

    @property
    def answered(self) -> int:
        """How many were answered."""
        return self.arrived - self.waiting - self.in_flight


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision rests on. Requests at replicas on average, and requests that came a second: over a minute, over
    6 s, and the latter over 2 s. `service_s`: of one request; `cold_start_s`: of one replica; `panic`: a surge is
    not a minute over. `keep_s`: none runs after so long without a request, because of `keep_why` ("": it was set).
    Of `answered` answers over 6 s, `late` took longer than the target latency, so that one plans for `strain` times the
    requests."""

    usual: float = 0.0
    recent: float = 0.0
    usual_rate: float = 0.0
    recent_rate: float = 0.0
    surge_rate: float = 0.0
    service_s: float = 0.0
    cold_start_s: float = 0.0
    waiting: int = 0
    in_flight: int = 0
    ready: int = 0
    idle_s: float = 0.0
    panic: bool = False
    keep_s: float = 0.0
    keep_why: str = ""
    answered: int = 0
    late: float = 0.0
    strain: float = 1.0


class Scaled(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it is told to people: when (Unix seconds), from how many replicas to how many, and why.
    `schedule`: what holds by the schedule then."""

    at: float
    before: int
    replicas: int
    reason: str
    figures: Figures = Figures()
    schedule: str = ""
