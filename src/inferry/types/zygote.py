"""What control and a zygote say to each other, one JSON line each, over a private unix socket."""

from __future__ import annotations

import msgspec

from inferry.types.conversion import CheckTask, ConvertTask
from inferry.types.identity import Identity
from inferry.types.replicas import InspectTask, ReplicaSpec


class ZygoteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A zygote's command line: where to listen, the lifeline's descriptor, what to import; `epoch`: of the control
    process that starts it."""

    socket: str
    lifeline: int
    runtime: str
    log: str
    epoch: int = 0


class ReplicaTask(msgspec.Struct, frozen=True, kw_only=True):
    """One replica to fork: `bundle` is the opened bundle's directory, `report` where it says why it failed,
    `groups` the files of the cgroups that it joins, `limited`: they limit its memory.

    `socket`: where it listens. For `tcp://HOST` the port is any free one, which it says in its report; it shows
    `identity` there.
    """

    spec: ReplicaSpec
    bundle: str
    socket: str
    scratch: str
    report: str
    groups: tuple[str, ...] = ()
    limited: bool = False
    identity: Identity | None = None


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """Control -> zygote: fork one child. One of the tasks is set; without any it is a greeting, answered by the birth
    of each child that lives, and then by an event without a child. `epoch`: the control process's; orders of an older
    one than was heard of are refused."""

    id: str
    log: str = ""
    epoch: int = 0
    replica: ReplicaTask | None = None
    inspect: InspectTask | None = None
    convert: ConvertTask | None = None
    check: CheckTask | None = None


class ZygoteEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Zygote -> control: child `id` runs as `pid`, or has exited with `status` (negative: a signal); or order `id` was
    `refused`, since a control process of a later epoch has spoken."""

    id: str
    pid: int = 0
    status: int | None = None
    refused: bool = False
