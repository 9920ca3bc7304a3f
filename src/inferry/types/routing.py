"""The routing table: all that the gateway knows, as one immutable value.

Data flow: control renders it from the store and the running replicas -> writes it to the
run directory and pushes it to the gateway -> the gateway swaps it in one assignment.
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.feedback import CaptureBatch, FeedbackAsk, FeedbackTold
from inferry.types.registry import Key
from inferry.types.scaling import Loads
from inferry.types.signature import NO_EXAMPLE, Signature
from inferry.types.traffic import RevisionCounters, Split


class ReplicaAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a replica listens: a unix socket path in the run directory."""

    id: str
    socket: str


class RevisionRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A live revision and its running copies. `weight` is a percent of the endpoint's traffic; with 0 it answers who
    asks for it by number, or gets copies. `elastic`: its copies vary in number, so its load is reported; `sleeps`:
    there may be none. `cold_start_s`: how long one takes to start (0: not known); `target_latency_s`: answers that take
    longer are counted as late (0: none)."""

    number: int
    version: int
    weight: int
    signature: Signature
    example: msgspec.Raw = NO_EXAMPLE
    answer: Any = None
    runtime: str = ""
    timeout_s: float = 30.0
    replicas: tuple[ReplicaAddress, ...] = ()
    elastic: bool = False
    sleeps: bool = False
    cold_start_s: float = 0.0
    target_latency_s: float = 0.0


class EndpointRoute(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint with its revisions. `split` without places: one revision has all."""

    name: str
    model: str
    revisions: tuple[RevisionRoute, ...]
    split: Split = Split()


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of the table. `keys` are by id; `epoch`: the one of the control process that made it."""

    generation: int = 0
    epoch: int = 0
    endpoints: dict[str, EndpointRoute] = {}
    keys: dict[str, Key] = {}


class TableChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What makes one generation of the table of the one called `base`: endpoints that are new or other, and those that
    are `gone`; `keys` when those changed. So a change costs what it changes, however many endpoints there are."""

    base: int
    generation: int
    epoch: int = 0
    endpoints: dict[str, EndpointRoute] = {}
    gone: tuple[str, ...] = ()
    keys: dict[str, Key] | None = None


def difference(before: RoutingTable, after: RoutingTable) -> TableChange | None:
    """The change from one table to the next; None when they say the same. Routes that are the same object are not
    compared."""
    changed = {name: route for name, route in after.endpoints.items() if not same(before.endpoints.get(name), route)}
    gone = tuple(name for name in before.endpoints if name not in after.endpoints)
    keys = None if after.keys == before.keys else after.keys
    if not changed and not gone and keys is None:
        return None
    return TableChange(
        base=before.generation,
        generation=before.generation + 1,
        epoch=before.epoch,
        endpoints=changed,
        gone=gone,
        keys=keys,
    )


def same(one: EndpointRoute | None, other: EndpointRoute) -> bool:
    """Whether two routes say the same."""
    return one is other or one == other


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that was `killed`, and for what: to be told to those whose requests it had begun."""

    id: str
    why: str


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Control -> gateway: serve by a table, or by the present one with a `change`; `tell` what was counted (the number
    of the question); captures of that number are `kept`; the answer to `feedback`; how a replica `ended`."""

    table: RoutingTable | None = None
    change: TableChange | None = None
    tell: int = 0
    kept: int = 0
    feedback: FeedbackTold | None = None
    ended: Ended | None = None


class GatewayNews(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Gateway -> control: a table is `applied` (its generation), a replica is `stuck` (its id), or the answer to
    the question `told`; or answers to keep, feedback that came, or the loads of elastic revisions. `refused`: a table
    was not taken, since there is one of this later epoch."""

    applied: int = 0
    refused: int = 0
    stuck: str = ""
    told: int = 0
    counters: tuple[RevisionCounters, ...] = ()
    captures: CaptureBatch | None = None
    feedback: FeedbackAsk | None = None
    loads: Loads | None = None
