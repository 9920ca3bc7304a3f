"""What the metadata store keeps: models, versions with their aliases, endpoints, revisions, keys."""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.bundle import Manifest
from inferry.types.lineage import Lineage
from inferry.types.options import Value
from inferry.types.rollout import Strategy
from inferry.types.scaling import Scaling
from inferry.types.traffic import Split


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable, numbered member of a model: `model:number`. `created` is Unix seconds."""

    model: str
    number: int
    bundle: str
    source: str
    runtime: str
    size: int
    created: float
    created_by: str
    manifest: Manifest
    lineage: Lineage = Lineage()

    @property
    def reference(self) -> str:
        """`fraud:7`."""
        return f"{self.model}:{self.number}"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A named family of versions."""

    name: str
    created: float
    versions: int
    latest: int


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """A movable pointer to a version: `model@name`. `moved` is Unix seconds."""

    model: str
    name: str
    version: int
    moved: float
    moved_by: str


class AliasMove(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an alias. `before` 0: it was made then; `after` 0: it was deleted."""

    alias: str
    before: int
    after: int
    at: float
    by: str


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is not removed until somebody lifts this."""

    model: str
    version: int
    at: float
    by: str
    reason: str = ""


class RevisionConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a revision runs. `timeout_s`: default deadline of a request in seconds. `memory_mb`: memory limit of a
    replica (0: none of its own). `threads`: processor threads of one prediction (0: chosen by `policy.threads`).
    `device`: auto, cpu, cuda or tpu. `gpus`: the share of GPUs that a replica holds for itself, a part of one or whole
    ones (0: it shares with others); `gpu_memory_mb`: how much of a GPU's memory it may take (0: any). `options`: of the
    runtime's engine, as declared in the plugin group inferry.options. `scaling`: how the number of replicas varies, in
    place of `replicas`. `cpus`: processors that a replica may use, on average over a tenth of a second (0: all). Where
    a cluster's scheduler places it, that (0: chosen by `policy.placement`) and `resources` (of the cluster's own) are
    what it holds of its node."""

    replicas: int = 1
    timeout_s: float = 30.0
    memory_mb: int = 0
    threads: int = 0
    device: str = "auto"
    gpus: float = 0.0
    gpu_memory_mb: int = 0
    options: dict[str, Value] = {}
    scaling: Scaling | None = None
    cpus: float = 0.0
    resources: dict[str, float] = {}

    @property
    def least(self) -> int:
        """The replicas that always run."""
        return self.scaling.lowest if self.scaling is not None else self.replicas

    @property
    def most(self) -> int:
        """The replicas that may run."""
        return self.scaling.highest if self.scaling is not None else self.replicas

    @property
    def first(self) -> int:
        """The replicas that it begins with: one at least shows that it answers."""
        return max(1, self.least)


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable running configuration of an endpoint. `replaces` is the revision that
    served before it (0: none, or one that is not kept any more): where a rollback goes. `stopped`: when it ran last
    (0: it never stopped)."""

    endpoint: str
    number: int
    model: str
    version: int
    bundle: str
    config: RevisionConfig
    replaces: int
    created: float
    created_by: str
    stopped: float = 0.0


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The stable address clients call. `traffic` maps revision number -> percent, sum 100; `split` says how that
    is done, and what else runs."""

    name: str
    model: str
    traffic: dict[int, int]
    split: Split = Split()
    created: float
    updated: float

    @property
    def revision(self) -> int:
        """The revision with the largest share of traffic."""
        return max(self.traffic, key=lambda number: (self.traffic[number], number))

    @property
    def running(self) -> set[int]:
        """The revisions that should run: with a share, warm, pinned to or mirrored to."""
        shadow = {self.split.mirror.revision} if self.split.mirror is not None else set()
        return (
            {number for number, weight in self.traffic.items() if weight}
            | {*self.split.warm}
            | shadow
            | {*self.split.pins.values()}
        )


JOBS_KEY = "inferry-jobs"
"""The name of the key that the jobs process calls endpoints with."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as stored: never the secret, only its keyed hash (hex). `endpoints`:
    the endpoint name or "*" per entry that it may call. `expires` 0: never."""

    id: str
    name: str
    role: str
    digest: str
    endpoints: tuple[str, ...] = ("*",)
    created: float = 0.0
    expires: float = 0.0


class NewVersion(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept of a version but its number and its time."""

    model: str
    bundle: str
    manifest: Manifest
    size: int
    created_by: str
    lineage: Lineage = Lineage()


class Commit(NewVersion, frozen=True, kw_only=True):
    """All that one deploy makes visible, in one transaction. `version`: the number of one that is there already
    (0: it is made, or found by its source). `percent`: the share of traffic that the new
    revision takes; `keep_warm`: the one that loses all of it goes on running. `strategy`: how a rollout that begins
    now gives it traffic instead."""

    endpoint: str
    config: RevisionConfig
    version: int = 0
    percent: int = 100
    keep_warm: bool = False
    strategy: Strategy | None = None


JSON = dict[str, Any]
