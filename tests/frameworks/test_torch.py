"""PyTorch artifacts of every form, made by PyTorch itself, deployed with one command and asked for held-out rows."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support import fake_nvml
from tests.support.forge import Forge, served
from tests.support.platform import CommandFailed, Platform


@pytest.mark.parametrize(
    ("name", "rtol"),
    [("script", 1e-4), ("program", 1e-4), ("weights", 1e-9), ("safetensors", 1e-4), ("whole", 1e-4)],
)
def test_every_form_answers_as_it_did_in_its_own_process(
    platform: Platform, forge: Forge, name: str, rtol: float
) -> None:
    forged = forge.make(f"torch_{name}")
    deployed = platform.deploy(forged.artifact, f"torch-{name}", "--native", sample=forged.sample)
    served(platform, f"torch-{name}", forged, rtol=rtol, atol=1e-9 if rtol < 1e-6 else 1e-5)
    assert deployed["signature"]["batchable"], deployed["signature"]


def test_signatures_come_from_the_program_or_from_forward_and_the_sample(platform: Platform, forge: Forge) -> None:
    found = {}
    for name in ("script", "program", "weights", "whole"):
        forged = forge.make(f"torch_{name}")
        deployed = platform.deploy(forged.artifact, f"torch-{name}", "--native", sample=forged.sample)
        signature = deployed["signature"]
        found[name] = signature["kind"], [(one["name"], one["datatype"], one["shape"]) for one in signature["inputs"]]
    assert found["script"] == ("tensors", [("images", "FP32", [-1, 1, 8, 8])])
    assert found["program"] == ("tensors", [("tokens", "INT64", [-1, 5]), ("dense", "FP32", [-1, 4])])
    assert found["weights"][0] == "table"
    assert {datatype for _, datatype, _ in found["weights"][1]} == {"FP64"}, "whole numbers in a column too"
    assert found["whole"] == ("tensors", [("x", "FP32", [-1, 1])]), "whole numbers that forward refuses"
    assert deployed["example"]["inputs"][0] == [-4], "its forward changes what it is given in place"


def checkpoint(data: bytes, **more: bytes) -> bytes:
    """A zip as torch.save writes it, with this pickle in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in {"data.pkl": data, "byteorder": b"little", "version": b"3\n", **more}.items():
            archive.writestr(f"m/{name}", content)
    return made.getvalue()


class Call:
    """Pickles as a call of `function`, a "module name", with these arguments."""

    def __init__(self, function: str, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def pickled(self) -> bytes:
        arguments = pickle.dumps(self.arguments, 2)[2:-1]
        return b"\x80\x02c" + self.function.replace(" ", "\n").encode() + b"\n" + arguments + b"R."


NET = """
import os
from torch import nn


class Net(nn.Module):
    def __init__(self, size=13):
        super().__init__()
        self.layer = nn.Linear(size, 3)

    def forward(self, x):
        return self.layer(x)


def boom(path):
    os.mkdir(path)
"""


def bad_artifacts(root: Path, forge: Forge, marker: Path) -> list[tuple[str, Path, str]]:
    """(endpoint, what to deploy, what is said)."""
    script = forge.make("torch_script").artifact.read_bytes()
    wine = forge.make("torch_weights").artifact
    cases: list[tuple[str, dict[str, bytes], str]] = [
        ("truncated", {"model.pt": script[: len(script) // 2]}, "'model.pt' is a corrupt or truncated PyTorch file."),
        ("zip-of-text", {"model.pt": zipped({"a/hello.txt": b"hello"})}, "is not a model that is known here"),
        ("lone-weights", {"weights.pth": (wine / "weights.pth").read_bytes()},
         "'weights.pth' holds weights without the code of the model."),
        ("reduce", {"model.pt": checkpoint(Call("posix mkdir", str(marker)).pickled())},
         "'model.pt' calls 'posix.mkdir' when it is opened, which no model needs."),
        ("reduce-in-torch", {"net.py": NET.encode(), "model.pt": checkpoint(Call("torch.hub load", "a/b", "c").pickled())},
         "The file is damaged, or calls something when it is opened that weights do not need."),
        ("reduce-in-code", {"net.py": NET.encode(), "model.pt": checkpoint(Call("net boom", str(marker)).pickled())},
         "The model cannot be loaded: PermissionError"),
        ("no-class", {"model.pt": checkpoint(Call("shop.models Net").pickled())},
         "'model.pt' is a pickled model of the Python module 'shop', which is not beside it."),
        ("other-keys", {"net.py": NET.encode(), "weights.pth": (wine / "weights.pth").read_bytes()},
         "The weights do not fit the class Net: missing: layer.weight, layer.bias; not in the class: net.0.mean,"),
        ("other-shape", {"net.py": NET.encode(), "config.json": b'{"size": 4}',
                         "model.safetensors": safetensors({"layer.weight": [3, 13], "layer.bias": [3]})},
         "The weights do not fit the class Net: layer.weight is [3, 13] and not [3, 4]."),
        ("config", {"net.py": NET.encode(), "config.json": b'{"sizes": 4}',
                    "model.safetensors": safetensors({"layer.weight": [3, 13], "layer.bias": [3]})},
         "config.json has 'sizes', which the class Net does not take."),
        ("arguments", {"wine.py": (wine / "wine.py").read_bytes(), "w.pth": (wine / "weights.pth").read_bytes()},
         "The class Wine needs inputs, classes to be made."),
        ("operator", {"model.pt2": forge.make("torch_custom_op").artifact.read_bytes()},
         "The model uses the operator mine::twice, which is not in its environment."),
    ]  # fmt: skip
    for name, files, _ in cases:
        for file, content in files.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / file).write_bytes(content)
    return [
        (name, root / name if len(files) > 1 else root / name / next(iter(files)), said) for name, files, said in cases
    ]


def zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def safetensors(shapes: dict[str, list[int]]) -> bytes:
    """A file of zeros with these tensors."""
    header, at = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape)) * 4
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def test_what_is_broken_or_hostile_is_refused_in_words_and_leaves_nothing(
    platform: Platform, forge: Forge, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps([[0.5] * 13] * 2))

    def state() -> tuple[list[str], list[Path], list[int]]:
        models = platform.call("GET", "/v1/models", control=True).json()["models"]
        bundles = sorted((platform.home / "bundles").iterdir()) + sorted((platform.home / "staging").iterdir())
        return [model["name"] for model in models], bundles, platform.replica_pids()

    before = state()
    for name, path, said in bad_artifacts(tmp_path / "bad", forge, marker):
        with pytest.raises(CommandFailed) as refusal:
            platform.deploy(path, f"torch-bad-{name}", sample=sample)
        error = json.loads(refusal.value.stdout)["error"] if refusal.value.stdout.strip() else {}
        assert said in error.get("message", refusal.value.stderr), (name, refusal.value.stdout, refusal.value.stderr)
        assert error.get("help", "x"), name
    assert state() == before
    assert not marker.exists(), "hostile code wrote outside of its sandbox"


def test_the_file_decides_what_it_is_and_not_its_extension(platform: Platform, forge: Forge, tmp_path: Path) -> None:
    forged = forge.make("torch_program")
    shutil.copy(forged.artifact, tmp_path / "weights.bin")
    platform.deploy(tmp_path / "weights.bin", "torch-renamed", "--native")
    served(platform, "torch-renamed", forged)


def test_a_build_for_the_cpu_is_not_taken_for_one_that_uses_the_gpu(
    start_platform: Callable[..., Platform], environments: Path, forge: Forge, tmp_path: Path
) -> None:
    driver = str(fake_nvml.write(tmp_path / "driver"))
    path = os.pathsep.join(filter(None, (driver, os.environ.get("PYTHONPATH"))))
    platform = start_platform(env={"PYTHONPATH": path})
    platform.share_environments(environments)
    forged = forge.make("torch_script")
    with pytest.raises(CommandFailed, match="PyTorch could not use the GPU"):
        platform.deploy(forged.artifact, "torch-gpu", "--device", "cuda", sample=forged.sample)
    platform.deploy(forged.artifact, "torch-gpu", "--native", "--device", "cpu", sample=forged.sample)
    served(platform, "torch-gpu", forged)
