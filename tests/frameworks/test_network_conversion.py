"""Networks that serve as ONNX: PyTorch, Keras and TensorFlow, in every form, with the answers they gave natively."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.forge import Forge, served
from tests.support.platform import Platform

CONVERTERS = {"torch": "torch ", "keras": "tf2onnx ", "tensorflow": "tf2onnx "}


@pytest.mark.parametrize(
    "name", ["torch_script", "torch_program", "torch_weights", "torch_safetensors", "torch_whole", "keras_digits",
             "tensorflow_versions"],
)  # fmt: skip
def test_a_network_that_is_equal_serves_as_onnx(platform: Platform, forge: Forge, name: str) -> None:
    forged, endpoint = forge.make(name), f"onnx-{name.replace('_', '-')}"
    deployed = platform.deploy(forged.artifact, endpoint, "--convert=require", sample=forged.sample, timeout=900)
    made = deployed["conversion"]
    assert (deployed["runtime"], made["serves"]) == ("onnx", "onnx"), deployed["notes"]
    assert made["converter"].startswith(CONVERTERS[made["runtime"]])
    assert made["rows"] > 50
    assert deployed["signature"]["batchable"], deployed["signature"]
    served(platform, endpoint, forged)
    (pid,) = platform.cli("describe", endpoint)["replicas"]["pids"]
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "/onnxruntime/" in maps
    assert "/torch/" not in maps
    assert "/tensorflow/" not in maps
