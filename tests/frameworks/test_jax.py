"""JAX: exported functions by their own runtime, a Flax class by the Python runtime with its requirements.txt."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.support.forge import Forge, json_answers, served
from tests.support.platform import CommandFailed, Platform


def test_an_exported_function_answers_as_it_did_in_its_own_process(platform: Platform, forge: Forge) -> None:
    forged = forge.make("jax_export")
    signature = platform.deploy(forged.artifact, "jax-export")["signature"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in signature["inputs"]] == [
        ("features", "FP64", [-1, 4]),
        ("place", "INT32", [-1]),
    ]
    assert signature["batchable"]
    served(platform, "jax-export", forged)


def test_requests_at_the_same_time_each_get_their_own_rows(platform: Platform, forge: Forge) -> None:
    forged = forge.make("jax_export")
    platform.deploy(forged.artifact, "jax-export")
    inputs, expected = forged.arrays("inputs"), forged.arrays("expected")

    def ask(rows: list[int]) -> None:
        answer = json_answers(platform, "jax-export", {name: array[rows] for name, array in inputs.items()})
        np.testing.assert_allclose(answer["scores"], expected["scores"][rows], rtol=1e-4)

    with ThreadPoolExecutor(6) as pool:  # 1 to 7 rows, which are padded where they meet
        list(pool.map(ask, [list(range(first, last)) for first in range(7) for last in range(first + 1, 8)]))


def test_a_flax_class_with_saved_parameters_is_served_in_its_own_environment(platform: Platform, forge: Forge) -> None:
    forged = forge.make("flax_class")
    platform.deploy(forged.artifact, "flax", sample=forged.sample)
    served(platform, "flax", forged)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("truncated", "'model.jax' is a truncated JAX function."),
        ("cuda", "'model.jax' was exported for cuda, not for the CPU."),
        ("damaged", "The model cannot be loaded: "),
    ],
)
def test_what_cannot_be_served_is_refused(
    platform: Platform, forge: Forge, tmp_path: Path, case: str, said: str
) -> None:
    data = forge.make("jax_cuda" if case == "cuda" else "jax_export").artifact.read_bytes()
    if case == "truncated":
        data = data[: len(data) * 3 // 4]
    if case == "damaged":  # the program inside, not the frame around it
        at = data.index(b"ML\xefR") + 40
        data = data[:at] + bytes(200) + data[at + 200 :]
    (tmp_path / "model.jax").write_bytes(data)
    with pytest.raises(CommandFailed, match=said):
        platform.deploy(tmp_path / "model.jax", f"jax-bad-{case}")
    models = platform.call("GET", "/v1/models", control=True).json()["models"]
    assert f"jax-bad-{case}" not in [model["name"] for model in models]
