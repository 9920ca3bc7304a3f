"""Placement: what a replica holds of a node, and what is said when no node has it."""

import pytest

from inferry.policy.placement import CPUS, SOME_GPU, Node, Place, missing, place_of
from inferry.types.registry import RevisionConfig

MB = 1 << 20


@pytest.mark.parametrize(
    ("config", "device", "wanted"),
    [
        ({}, "cpu", {"CPU": CPUS}),
        ({"threads": 4}, "cpu", {"CPU": 4}),
        ({"threads": 4, "cpus": 0.5, "memory_mb": 100}, "cpu", {"CPU": 0.5, "memory": 100 * MB}),
        ({"gpus": 0.25}, "cuda", {"CPU": CPUS, "GPU": 0.25}),
        ({}, "cuda", {"CPU": CPUS, "GPU": SOME_GPU}),
        ({"gpus": 2, "resources": {"fast": 1}}, "cuda", {"CPU": CPUS, "GPU": 2, "fast": 1}),
    ],
)
def test_what_a_replica_holds(config, device, wanted):
    place = place_of(RevisionConfig(**config), device)
    assert place.needs() == wanted
    assert place.gang == (wanted.get("GPU", 0) > 1)


NODES = [
    Node("10.0.0.1", {"CPU": 4, "memory": 8000 * MB}, {"CPU": 0.5, "memory": 100 * MB}),
    Node("10.0.0.2", {"CPU": 2, "GPU": 1}, {"CPU": 2, "GPU": 1}),
]


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (Place(8), "It needs 8 CPU; none of the 2 nodes has CPU."),
        (Place(1, resources={"fast": 1}), "It needs 1 CPU, 1 fast; none of the 2 nodes has fast."),
        (Place(4, gpus=1), "It needs 4 CPU, 1 GPU; none of the 2 nodes has that much on one node."),
        (Place(3), "It needs 3 CPU. Free now: 10.0.0.1: 0.5 CPU."),
        (Place(0.1, memory=200 * MB), "It needs 0.1 CPU, 200 MB memory. Free now: 10.0.0.1: 0.5 CPU, 100 MB memory."),
        (Place(2, gpus=1), "It needs 2 CPU, 1 GPU, and Ray has not placed it yet. Free now: 10.0.0.2: 2 CPU, 1 GPU."),
    ],
)
def test_what_is_missing(place, says):
    assert missing(place, NODES) == says
