"""PyTorch and JAX files are told apart by their content, and refused before anything of them is opened."""

from __future__ import annotations

import pytest

from inferry.bundles.detect import detect
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected
from tests.support.huggingface_bytes import safetensors
from tests.support.torch_bytes import STATE, checkpoint, jax, legacy, naming, program, script, zipped

NET = b"""
import torch
from torch import nn

class Layer(nn.Module):
    pass

class Net(torch.nn.Module):
    def __init__(self):
        self.layer = Layer()

class Plain:
    pass
"""
TWO = b"from torch.nn import Module\nclass A(Module):\n    pass\nclass B(Module):\n    pass\n"
SAFE = safetensors()


def found(tmp_path, files: dict[str, bytes]) -> Detected:
    folder = tmp_path / "artifact"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return detect(folder)


CLASS = {"class": "Net", "code": "net.py"}
SERVED = {
    "script": ({"m.pt": script()}, {"form": "script"}, ("torch",)),
    "script with an operator": (
        {"m.bin": script(b"ops.torchvision.nms(a, b)")},
        {"form": "script", "modules": ["torchvision"]}, ("torch", "torchvision"),
    ),
    "program": ({"m.pt2": program()}, {"form": "program"}, ("torch>=2.9",)),
    "program called pth": ({"m.pth": program()}, {"form": "program"}, ("torch>=2.9",)),
    "program of before 2.8": (
        {"m.pt2": zipped({"serialized_exported_program.json": b"{}", "version": b"8.1"})},
        {"form": "program"}, ("torch",),
    ),
    "program with an operator": (
        {"m.pt2": program('"target": "torch.ops.torchvision.nms.default"')},
        {"form": "program", "modules": ["torchvision"]}, ("torch", "torchvision"),
    ),
    "weights": ({"net.py": NET, "w.pt": checkpoint(*STATE)}, {"form": "checkpoint", **CLASS}, ("torch",)),
    "weights of old": ({"net.py": NET, "w.pt": legacy(*STATE)}, {"form": "checkpoint", **CLASS}, ("torch",)),
    "weights with arguments": (
        {"net.py": NET, "w.pt": checkpoint(*STATE, ("argparse", "Namespace"))},
        {"form": "checkpoint", "pickled": True, **CLASS}, ("torch",),
    ),
    "safetensors": (
        {"src/net.py": NET, "src/model.safetensors": SAFE, "src/config.json": b'{"hidden": 3}'},
        {"form": "safetensors", "class": "Net", "code": "src/net.py", "config": "src/config.json"},
        ("torch", "safetensors"),
    ),
    "a class by name": (
        {"net.py": TWO, "m.safetensors": SAFE, "config.json": b'{"class": "B"}'},
        {"form": "safetensors", "class": "B", "code": "net.py", "config": "config.json"}, ("torch", "safetensors"),
    ),
    "a base in another file": (
        {"base.py": TWO, "net.py": b"from base import A, B\nclass C(A):\n    part = B\n", "m.safetensors": SAFE},
        {"form": "safetensors", "class": "C", "code": "net.py"}, ("torch", "safetensors"),
    ),
    "a whole module of torch's layers": (
        {"m.pt": checkpoint(("torch.nn.modules.linear", "Linear"), *STATE)},
        {"form": "checkpoint", "pickled": True}, ("torch",),
    ),
    "a whole module of torchvision": (
        {"m.pt": checkpoint(("torchvision.models.resnet", "ResNet"), *STATE)},
        {"form": "checkpoint", "pickled": True}, ("torch", "torchvision"),
    ),
    "a whole module by protocol 4": (
        {"net.py": NET, "m.pt": checkpoint(("net", "Net"), protocol=4)},
        {"form": "checkpoint", "pickled": True}, ("torch",),
    ),
    "a whole module of a script": (
        {"net.py": NET, "m.pt": checkpoint(("__main__", "Net"))},
        {"form": "checkpoint", "pickled": True, "code": "net.py"}, ("torch",),
    ),
    "asked for": (
        {"net.py": NET, "w.pt": checkpoint(*STATE), "requirements.txt": b"torch==2.6.0\neinops\n"},
        {"form": "checkpoint", **CLASS}, ("torch==2.6.0", "einops"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVED)
def test_forms_of_pytorch_are_told_apart_by_content(tmp_path, case):
    files, options, requirements = SERVED[case]
    detected = found(tmp_path, files)
    assert (detected.runtime, detected.options, detected.requirements) == ("torch", options, requirements)


REFUSED = {
    "lone weights": ({"w.pt": checkpoint(*STATE)}, "'w.pt' holds weights without the code of the model"),
    "lone safetensors": ({"w.safetensors": SAFE}, "'w.safetensors' holds weights without the code of the model"),
    "two classes": ({"net.py": TWO, "w.safetensors": SAFE}, "Several PyTorch classes could be the model: A, B"),
    "no such class": (
        {"net.py": TWO, "w.safetensors": SAFE, "config.json": b'{"class": "C"}'},
        "config.json names the class 'C', which no Python file beside it defines",
    ),
    "config that is no object": (
        {"net.py": NET, "w.safetensors": SAFE, "config.json": b"[1]"}, "config.json is not a JSON object",
    ),
    "two files of weights": (
        {"net.py": NET, "a.safetensors": SAFE, "b.safetensors": SAFE}, "The folder holds 2 models",
    ),
    "a call": ({"m.pt": checkpoint(("posix", "system"))}, "'m.pt' calls 'posix.system' when it is opened"),
    "a call of old": ({"m.pt": legacy(("os", "system"))}, "'m.pt' calls 'os.system' when it is opened"),
    "a call by protocol 4": ({"m.pt": checkpoint(("builtins", "eval"), protocol=4)}, "calls 'builtins.eval' when"),
    "a call beside a class": (
        {"net.py": NET, "m.pt": checkpoint(*STATE, ("subprocess", "Popen"))}, "calls 'subprocess.Popen' when",
    ),
    "a class that is not there": (
        {"m.pt": checkpoint(("shop.nets", "Net"), *STATE)}, "a pickled model of the Python module 'shop', which is not",
    ),
    "a class of a script": (
        {"m.pt": checkpoint(("__main__", "Mine"), *STATE)}, "a pickled model of the class 'Mine', which is not",
    ),
    "truncated": ({"m.pt": checkpoint(*STATE)[:-30]}, "'m.pt' is a corrupt or truncated PyTorch file"),
    "truncated pickle": (
        {"m.pt": zipped({"m/data.pkl": naming(*STATE)[:-5]})}, "'m.pt' is a corrupt or truncated PyTorch file",
    ),
    "compiled only": (
        {"m.pt2": zipped({"m/archive_format": b"pt2", "m/data/aotinductor/model/x.so": b""})},
        "'m.pt2' holds no exported program, only what was compiled",
    ),
    "jax cut": ({"m.jax": jax(cut=3)}, "'m.jax' is a truncated JAX function"),
    "jax for another machine": ({"m.jax": jax(platforms=("cuda", "tpu"))}, "exported for cuda, tpu, not for the CPU"),
    "not jax": ({"m.jax": jax(mark=b"MLIR")}, "is not a model that is known here"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused_in_words(tmp_path, case):
    files, said = REFUSED[case]
    with pytest.raises(InvalidModel, match=said) as refusal:
        found(tmp_path, files)
    assert refusal.value.help
    assert str(tmp_path) not in refusal.value.sentence()


def test_a_folder_that_predicts_by_itself_stays_python(tmp_path):
    model = b"class Model:\n    def predict(self, x):\n        return x\n"
    assert found(tmp_path, {"net.py": NET, "model.py": model, "w.pt": checkpoint(*STATE)}).runtime == "python"


def test_a_folder_of_hugging_face_is_not_taken_for_weights_and_a_class(tmp_path):
    config = b'{"auto_map": {"AutoModel": "modeling.Net"}, "architectures": ["Net"]}'
    files = {"modeling.py": NET, "model.safetensors": SAFE, "config.json": config}
    with pytest.raises(InvalidModel, match=r"Python code in its own folder \(auto_map\), which is not run"):
        found(tmp_path, files)


@pytest.mark.parametrize(("version", "wanted"), [("", "jax"), ("0.12.1.dev3", "jax>=0.12.1")])
def test_an_exported_jax_function_is_known_by_the_program_inside(tmp_path, version, wanted):
    detected = found(tmp_path, {"m.bin": jax(platforms=("cuda", "cpu"), version=version)})
    assert (detected.runtime, detected.entry, detected.requirements) == ("jax", "m.bin", (wanted, "flatbuffers"))
