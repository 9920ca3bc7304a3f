"""What control tells a backend to run, and what a running replica says of itself."""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.options import Value
from inferry.types.registry import RevisionConfig

Group = tuple[str, str, int, int, str, float, int, float, tuple[tuple[str, float], ...], tuple[tuple[str, Value], ...]]


def replica_group(label: str, bundle: str, config: RevisionConfig) -> Group:
    """What must be equal for two replicas to be interchangeable: all that a replica process depends on."""
    device = config.device, config.gpus, config.gpu_memory_mb
    share = config.cpus, tuple(sorted(config.resources.items()))
    return label, bundle, config.memory_mb, config.threads, *device, *share, tuple(sorted(config.options.items()))


class ReplicaSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One wanted copy. Copies with equal `group` are interchangeable.

    `bundle` and `environment` are digests; `label` names the log. `device`: cpu, cuda or tpu, `gpus`: the
    ids of the GPUs that it sees.
    """

    id: str
    label: str
    bundle: str
    environment: str
    runtime: str
    config: RevisionConfig
    device: str = "cpu"
    gpus: tuple[str, ...] = ()

    @property
    def group(self) -> Group:
        """Its group."""
        return replica_group(self.label, self.bundle, self.config)


class ReplicaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A replica's own words: who it is and since when. `load_ms` counts sandbox and model load."""

    pid: int
    spec: ReplicaSpec
    load_ms: float = 0.0
    served: int = 0
    sandbox: dict[str, str] = {}


class InspectTask(msgspec.Struct, frozen=True, kw_only=True):
    """One sandboxed inspection: paths in the staging directory, written by control."""

    artifact: str
    entry: str
    runtime: str
    scratch: str
    options: dict[str, Any] = {}
    sample: str = ""
    memory_mb: int = 0
    timeout_s: float = 120.0
    device: str = "cpu"
    gpus: tuple[str, ...] = ()
