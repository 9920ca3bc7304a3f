"""Devices: where a model computes, which GPUs a replica sees, which providers are tried."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import Conflict, InvalidInput
from inferry.policy.devices import check, choose, place, providers
from inferry.types.devices import Devices, Gpu


def gpu(index, free_mb=80_000):
    return Gpu(index=index, id=f"GPU-{index}", name="H100", memory_mb=81_559, free_mb=free_mb)


BARE = Devices(cores=2, note="no NVIDIA driver (not found)")
TWO = Devices(cores=16, gpus=(gpu(0), gpu(1)))
TPU = Devices(cores=16, tpus=4)


@pytest.mark.parametrize(
    ("device", "gpus", "runtime", "found", "chosen"),
    [
        ("auto", 0, "torch", BARE, "cpu"),
        ("auto", 0, "torch", TWO, "cuda"),
        ("auto", 0, "sklearn", TWO, "cpu"),
        ("auto", 0, "onnx", TWO, "cpu"),  # its packages for GPUs are large: only when asked for
        ("auto", 0.5, "onnx", TWO, "cuda"),
        ("cuda", 0, "onnx", TWO, "cuda"),
        ("cpu", 0, "torch", TWO, "cpu"),
        ("tpu", 0, "jax", TPU, "tpu"),
    ],
)
def test_the_device_is_what_is_asked_for_or_what_is_better(device, gpus, runtime, found, chosen):
    assert choose(device, gpus, runtime, found) == chosen


@pytest.mark.parametrize(
    ("device", "gpus", "runtime", "found", "words"),
    [
        ("cuda", 0, "onnx", BARE, r"no cuda device here. Found: cpu \(2 cores\); no NVIDIA driver"),
        ("auto", 0.5, "onnx", BARE, "no cuda device here"),
        ("tpu", 0, "jax", TWO, r"no tpu device here. Found: cpu \(16 cores\), cuda:0 \(H100, 81559 MB\), cuda:1"),
        ("cuda", 0, "sklearn", TWO, "sklearn compute on the CPU"),
        ("tpu", 0, "torch", TPU, "torch compute on the CPU"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_what_was_found(device, gpus, runtime, found, words):
    with pytest.raises(Conflict, match=words):
        choose(device, gpus, runtime, found)


@pytest.mark.parametrize(
    ("device", "gpus", "words"),
    [
        ("gpu", 0, "not a device"),
        ("cuda", 1.5, "not a share"),
        ("cuda", -1, "not a share"),
        ("cpu", 0.5, "does not go"),
    ],
)
def test_what_makes_no_sense_anywhere_is_refused(device, gpus, words):
    with pytest.raises(InvalidInput, match=words):
        check(device, gpus)


def test_parts_fill_one_gpu_before_the_next_and_whole_ones_stay_free():
    taken = {"GPU-0": 0.5}
    assert place(0.25, 0, TWO.gpus, taken) == ("GPU-0",)
    assert place(0.75, 0, TWO.gpus, taken) == ("GPU-1",)
    assert place(1, 0, TWO.gpus, taken) == ("GPU-1",)
    assert place(2, 0, TWO.gpus, {}) == ("GPU-0", "GPU-1")
    assert place(0, 0, TWO.gpus, taken) == ("GPU-1",)  # who holds nothing goes where most is free


@pytest.mark.parametrize(
    ("share", "memory_mb", "taken"), [(2, 0, {"GPU-1": 0.1}), (0.6, 0, {"GPU-0": 0.5, "GPU-1": 0.5}), (0.1, 90_000, {})]
)
def test_what_has_no_room_is_refused_with_what_is_free(share, memory_mb, taken):
    with pytest.raises(Conflict, match=r"No GPU has room .*cuda:0 .* free, 80000 MB"):
        place(share, memory_mb, TWO.gpus, taken)


@given(st.lists(st.sampled_from([0.1, 0.25, 0.3, 0.5, 1.0]), max_size=30))
def test_no_gpu_is_ever_given_away_twice(shares):
    taken = {"GPU-0": 0.0, "GPU-1": 0.0}
    for share in shares:
        try:
            (chosen,) = place(share, 0, TWO.gpus, taken)
        except Conflict:
            assert all(held + share > 1 - 1e-6 for held in taken.values())
            continue
        taken[chosen] += share
        assert taken[chosen] <= 1 + 1e-6


def test_providers_are_those_that_are_there_and_the_cpu_comes_last():
    listed = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    assert providers("cuda", listed) == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert providers("cuda", listed, tensorrt=True) == listed
    assert providers("cpu", listed) == ["CPUExecutionProvider"]
    assert providers("cpu", ["OpenVINOExecutionProvider", "CPUExecutionProvider"])[0] == "OpenVINOExecutionProvider"
    assert providers("cuda", ["CPUExecutionProvider"]) == ["CPUExecutionProvider"]
