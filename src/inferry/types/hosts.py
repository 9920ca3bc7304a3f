"""What control and a host say to each other: the process on another machine that starts a replica there."""

from __future__ import annotations

import msgspec

from inferry.types.identity import Identity
from inferry.types.replicas import ReplicaSpec


class HostTask(msgspec.Struct, frozen=True, kw_only=True):
    """One replica to start. `identity` has no key: that is the host's. `lock`: its environment's, to build it from;
    `limit_s`: how long its model may load."""

    spec: ReplicaSpec
    identity: Identity
    lock: str
    limit_s: float


class HostConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a host is made with. `version`: the platform's, which must be the same everywhere; `home` and `token`: the
    platform's folder, and what is written in its file `shared`, by which a host knows that it sees that very folder."""

    version: str
    platform: str
    home: str
    token: str


class Hosted(msgspec.Struct, frozen=True, kw_only=True):
    """Where a host is: its node's id, and its request for its replica's certificate, whose key stays there."""

    node: str
    request: str


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that control has started elsewhere, as it remembers it: enough to find it without asking anyone."""

    id: str
    address: str
    node: str
    gang: bool = False


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What a host tells regularly. `log`: what the replica has written since `offset`; `ended`: how it ended."""

    memory_mb: float | None
    log: bytes = b""
    offset: int = 0
    ended: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How a start went: the replica's address, or an error's code, message and help."""

    address: str = ""
    code: str = ""
    message: str = ""
    help: str = ""
