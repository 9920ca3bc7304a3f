"""Placement: what a replica needs of a node of a cluster, and why there is none for it. Pure.

A revision's configuration -> Place -> the cluster's own scheduler. What it does not find a node for is compared with
the nodes, to say what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inferry.types.registry import RevisionConfig

CPUS = 0.25
"""What a replica holds of a node's processors when nobody says anything."""
SOME_GPU = 0.01
"""What one that shares a GPU with others holds of it, so that it is put where there is one."""
SLACK = 1e-6


class Place(NamedTuple):
    """What a replica holds of a node: processors, GPUs, bytes of memory (0: any) and resources of the cluster's own.
    `beside`: nodes with replicas of its kind, better avoided; `shunned`: nodes that seem to be gone."""

    cpus: float
    gpus: float = 0.0
    memory: int = 0
    resources: Mapping[str, float] = {}
    beside: tuple[str, ...] = ()
    shunned: tuple[str, ...] = ()

    @property
    def gang(self) -> bool:
        """Whether it takes several GPUs, all on one node."""
        return self.gpus > 1

    def needs(self) -> dict[str, float]:
        """By the scheduler's names."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory), **self.resources}
        return {name: amount for name, amount in wanted.items() if amount > 0}


class Node(NamedTuple):
    """One node: its address, what it has and what of that is free."""

    address: str
    total: Mapping[str, float]
    free: Mapping[str, float]


def place_of(config: RevisionConfig, device: str) -> Place:
    """What a replica needs."""
    gpus = (config.gpus or SOME_GPU) if device == "cuda" else 0.0
    cpus = config.cpus or float(config.threads) or CPUS
    return Place(cpus=cpus, gpus=gpus, memory=config.memory_mb << 20, resources=config.resources)


def missing(place: Place, nodes: Sequence[Node]) -> str:
    """Why no node has room, in a sentence."""
    needs = place.needs()
    able = [node for node in nodes if _fits(needs, node.total)]
    if not able:
        lacking = [
            name for name, amount in needs.items() if not any(node.total.get(name, 0) >= amount for node in nodes)
        ]
        what = " and ".join(lacking) if lacking else "that much on one node"
        return f"It needs {words(needs)}; none of the {len(nodes)} nodes has {what}."
    free = "; ".join(f"{node.address}: {words({name: node.free.get(name, 0.0) for name in needs})}" for node in able)
    if any(_fits(needs, node.free) for node in able):
        return f"It needs {words(needs)}, and Ray has not placed it yet. Free now: {free}."
    return f"It needs {words(needs)}. Free now: {free}."


def words(amounts: Mapping[str, float]) -> str:
    """Amounts for people: `0.25 CPU, 1 GPU, 512 MB memory`."""
    return ", ".join(
        f"{amount / (1 << 20):.0f} MB memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in amounts.items()
    )


def _fits(needs: Mapping[str, float], there: Mapping[str, float]) -> bool:
    return all(there.get(name, 0.0) + SLACK >= amount for name, amount in needs.items())
