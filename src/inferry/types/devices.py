"""Devices: what a machine has to compute on."""

from __future__ import annotations

import msgspec


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One NVIDIA GPU: its driver's index and id (UUID), memory in MB (2**20 bytes)."""

    index: int
    id: str
    name: str
    memory_mb: int
    free_mb: int


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's cores, GPUs and TPU chips, or those of a cluster. `note`: why there is no GPU, for people.
    `elsewhere`: the cluster hands out its GPUs itself."""

    cores: int
    gpus: tuple[Gpu, ...] = ()
    tpus: int = 0
    note: str = ""
    elsewhere: bool = False

    def words(self) -> str:
        """What is there, in one line."""
        found = [f"cpu ({self.cores} cores)"]
        found += [f"cuda:{gpu.index} ({gpu.name}, {gpu.memory_mb} MB)" for gpu in self.gpus]
        found += [f"tpu ({self.tpus} chips)"] if self.tpus else []
        return ", ".join(found) + (f"; {self.note}" if self.note and not self.gpus else "")
