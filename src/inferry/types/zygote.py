"""What control and a zygote say to each other, one JSON line each, over a private unix socket."""

from __future__ import annotations

import msgspec

from inferry.types.conversion import CheckTask, ConvertTask
from inferry.types.identity import Identity
from inferry.types.replicas import InspectTask, ReplicaSpec


class ZygoteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A zygote's command line: where to listen, the lifeline's descriptor, what to import."""

    socket: str
    lifeline: int
    runtime: str
    log: str


class ReplicaTask(msgspec.Struct, frozen=True, kw_only=True):
    """One replica to fork: `bundle` is the opened bundle's directory, `report` where it says why it failed.

    `socket`: where it listens. For `tcp://HOST` the port is any free one, which it says in its report; it shows
    `identity` there.
    """

    spec: ReplicaSpec
    bundle: str
    socket: str
    scratch: str
    report: str
    identity: Identity | None = None


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """Control -> zygote: fork one child. Exactly one of the tasks is set."""

    id: str
    log: str
    replica: ReplicaTask | None = None
    inspect: InspectTask | None = None
    convert: ConvertTask | None = None
    check: CheckTask | None = None


class ZygoteEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Zygote -> control: child `id` runs as `pid`, or has exited with `status` (negative: a signal)."""

    id: str
    pid: int
    status: int | None = None
