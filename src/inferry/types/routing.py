"""The routing table: all that the gateway knows, as one immutable value.

Data flow: control renders it from the store and the running replicas -> writes it to the
run directory and pushes it to the gateway -> the gateway swaps it in one assignment.
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.registry import Key
from inferry.types.signature import Signature


class ReplicaAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a replica listens: a unix socket path in the run directory."""

    id: str
    socket: str


class RevisionRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A live revision and its running copies. `weight` is a percent of the endpoint's traffic."""

    number: int
    version: int
    weight: int
    signature: Signature
    example: Any = None
    answer: Any = None
    runtime: str = ""
    timeout_s: float = 30.0
    replicas: tuple[ReplicaAddress, ...] = ()


class EndpointRoute(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint with its revisions."""

    name: str
    model: str
    revisions: tuple[RevisionRoute, ...]


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of the table. `keys` are by id."""

    generation: int = 0
    endpoints: dict[str, EndpointRoute] = {}
    keys: dict[str, Key] = {}


class GatewayNews(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Gateway -> control: a table is `applied` (its generation), or a replica is `stuck` (its id)."""

    applied: int = 0
    stuck: str = ""
