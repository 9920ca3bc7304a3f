"""Every kind of artifact and package, as small as it can be, and what becomes of wrong and hostile ones.

Data flow: KINDS -> a sound one by hand (`files`), recognised as `of` and served by `runtime` -> its main file cut off
or filled with something else, and the hostile cases of its own -> the words of the refusal. `late`: the cases that
only its framework notices, named as tests/frameworks has them; everything else is refused before anything is opened
by a framework. A kind without its cases fails tests/unit/bundles/test_kinds.py.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inferry.types.protobuf import delimited, integer
from tests.support import booster_bytes as booster
from tests.support import gguf_bytes as gguf
from tests.support import huggingface_bytes as hf
from tests.support import tensorflow_bytes as tf
from tests.support import torch_bytes as torch

Files = dict[str, bytes]

CLASS = b"class Model:\n    def predict(self, inputs):\n        return inputs\n"
NET = b"from torch import nn\n\n\nclass Net(nn.Module):\n    pass\n"
HANDLER = b"def handle(data, context):\n    return data\n"
SCRIPT = b"def model_fn(model_dir):\n    return model_dir\n"
SCORE = b"def init():\n    pass\n\n\ndef run(data):\n    return data\n"
ENDPOINT = b"class EndpointHandler:\n    def __call__(self, data):\n        return data\n"
BACKEND = b"class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
TRITON = (
    b'backend: "python" input { name: "x" data_type: TYPE_FP32 dims: 2 } '
    b'output { name: "y" data_type: TYPE_FP32 dims: 2 }\n'
)
MLMODEL = b"flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n"
BENTO = b"name: iris\nmodule: bentoml.onnx\ncontext:\n  framework_versions: {}\n"
BOMB = 66 << 20  # over what an archive of its size may hold


class Runs:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


PLAIN = pickle.dumps({"weights": list(range(1000))})
RUNS = pickle.dumps(Runs(os.system, "touch escaped"), 2)


def arrays() -> bytes:
    """What NumPy keeps, and no model is."""
    made = io.BytesIO()
    np.savez(made, a=np.arange(4))
    return made.getvalue()


FOREIGN = {
    "arrays": arrays(),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "a page": b"<!DOCTYPE html><html></html>",
}
"""What a file of any kind may be filled with that no framework takes."""


def onnx(*, operator: str = "Add", domain: str = "", location: str = "", length: int = 256) -> bytes:
    """Y = x + w, or another operator; `location`: where it keeps w."""
    from onnx import TensorProto, external_data_helper, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones(64, np.float32), "w")
    if location:
        external_data_helper.set_external_data(weights, location, 0, length)
        weights.ClearField("raw_data")
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"], domain=domain)], "g", [given], [made], [weights]
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def onnx_nested(depth: int) -> bytes:
    """Graphs within nodes within graphs."""
    graph = delimited(2, b"g")
    for _ in range(depth):
        graph = delimited(1, delimited(4, b"If") + delimited(5, delimited(1, b"then_branch") + delimited(6, graph)))
    return integer(1, 8) + delimited(7, graph)


def zipped(files: Files, *, link: str = "") -> bytes:
    """A zip file; `link`: the name of an entry that is a symbolic link."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
    return made.getvalue()


def packed(files: Files, *, link: str = "") -> bytes:
    """A .tar.gz; `link`: the name of an entry that is a symbolic link."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
    return made.getvalue()


def skops(maker: str = "builtins list") -> bytes:
    """A skops file of a list of texts, made by a class of any module."""
    module, name = maker.split()
    texts = [
        {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": f'"{word}"', "is_json": True,
         "__id__": at}
        for at, word in enumerate(("touch", "escaped"))
    ]  # fmt: skip
    schema = {"__class__": name, "__module__": module, "__loader__": "ListNode", "content": texts, "__id__": 9}
    return zipped({"schema.json": json.dumps({**schema, "protocol": 2, "_skops_version": "0.13.0"}).encode()})


def mar(handler: bytes = HANDLER, **manifest: str) -> Files:
    """What a TorchServe archive holds."""
    said = {"model": {"modelName": "m", "handler": "h.py", **manifest}}
    return {"MAR-INF/MANIFEST.json": json.dumps(said).encode(), "h.py": handler}


def keras_nested() -> bytes:
    """A configuration of lists within lists."""
    return tf.keras(config="[" * 200_000 + "]" * 200_000)


def safetensors(header: bytes, *, length: int | None = None) -> bytes:
    """A file with this header, whose length may be a lie."""
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(16)


@dataclass(frozen=True)
class Bad:
    """One artifact that must not become a model, and words of its refusal, "|" between those of which one is
    enough. `opened`: refused when the
    model is opened in the sandbox, and not at a look."""

    files: Files
    says: str
    code: str = "invalid_model"
    opened: bool = False


@dataclass(frozen=True)
class Sort:
    """A kind of artifact. `main`: the file that is cut and filled with other things."""

    of: str
    runtime: str
    files: Files
    cut: str = ""
    main: str = ""
    keep: float = 0.5
    foreign: str = "not a model"
    hostile: dict[str, Bad] = field(default_factory=dict)
    late: tuple[str, ...] = ()

    @property
    def entry(self) -> str:
        """The name of the main file."""
        return self.main or next(iter(self.files))

    def bad(self) -> dict[str, Bad]:
        """All that must be refused before a framework is asked."""
        whole = self.files[self.entry]
        cases = dict(self.hostile)
        if self.cut:
            cases["cut off"] = Bad({**self.files, self.entry: whole[: int(len(whole) * self.keep)]}, self.cut)
        for what, data in FOREIGN.items():
            cases[f"filled with {what}"] = Bad({**self.files, self.entry: data}, self.foreign)
        return cases


def script(name: str, sound: bytes, of: str, runtime: str) -> Sort:
    """A package whose mark is a script of this name."""
    cut = sound[: sound.rindex(b":")]
    return Sort(
        of=of,
        runtime=runtime,
        files={name: sound, "data.json": b"{}"},
        hostile={
            "a syntax error": Bad({name: cut, "data.json": b"{}"}, "has a syntax error in line"),
            "a path in its requirements": Bad(
                {name: sound, "requirements.txt": b"x @ file:///etc\n"}, "requirements.txt"
            ),
            "it runs a command": Bad(
                {name: b"import os\nos.execv('/bin/touch', ['touch', 'escaped'])\n" + sound},
                "ended with status",
                opened=True,
            ),
        },
        foreign="not a model|has a syntax error",
    )


KINDS: dict[str, Sort] = {
    "onnx": Sort(
        of="ONNX", runtime="onnx", files={"m.onnx": onnx()}, cut="truncated",
        hostile={
            "an operator of its own": Bad({"m.onnx": onnx(operator="Twice", domain="mine")}, "uses the operator mine:Twice, which", opened=True),
            "data in a folder above": Bad({"m.onnx": onnx(location="../../../etc/passwd")}, "outside its own folder"),
            "data by an absolute name": Bad({"m.onnx": onnx(location="/etc/passwd")}, "outside its own folder"),
            "data by a crooked name": Bad({"m.onnx": onnx(location="a\\..\\b")}, "outside its own folder"),
            "data that is not there": Bad({"m.onnx": onnx(location="w.bin")}, "which was not given"),
            "data that is too short": Bad({"m.onnx": onnx(location="w.bin", length=1 << 50), "w.bin": bytes(256)}, "truncated"),
            "graphs within graphs": Bad({"m.onnx": onnx_nested(1000)}, "nested too deeply"),
        },
    ),
    "pickle": Sort(
        of="PICKLE", runtime="sklearn", files={"m.joblib": PLAIN},
        hostile={
            "cut off": Bad({"m.joblib": PLAIN[:400]}, "corrupt or truncated", opened=True),
            "os.system": Bad({"m.joblib": RUNS}, "not", opened=True),
            "os.system, by protocol 0": Bad({"m.pkl": b"cposix\nsystem\n(Vtouch escaped\ntR."}, "not", opened=True),
        },
    ),
    "packed pickle": Sort(
        of="PICKLE_PACKED", runtime="sklearn", files={"m.joblib": zlib.compress(PLAIN)},
        hostile={
            "cut off": Bad({"m.joblib": zlib.compress(PLAIN)[:300]}, "corrupt or truncated", opened=True),
            **{
                f"os.system, packed by {how.__name__}": Bad({"m.joblib": how.compress(RUNS)}, "not", opened=True)
                for how in (zlib, gzip, bz2, lzma)
            },
        },
    ),
    "skops": Sort(
        of="SKOPS", runtime="sklearn", files={"m.skops": skops()}, cut="corrupt or truncated",
        hostile={
            "os.system": Bad({"m.skops": skops("subprocess Popen")}, "", opened=True),
            "another schema": Bad({"m.skops": zipped({"schema.json": b"[" * 100_000})}, "not a model|no model that is known"),
        },
    ),
    "torch weights": Sort(
        of="TORCH", runtime="torch", files={"w.pt": torch.checkpoint(*torch.STATE), "net.py": NET}, cut="corrupt or truncated PyTorch file",
        hostile={
            "os.system": Bad({"w.pt": torch.zipped({"m/data.pkl": RUNS, "m/version": b"3"})}, "calls 'posix.system'"),
            "os.system, in the older form": Bad({"w.pt": torch.legacy(("posix", "system"))}, "calls 'posix.system'"),
            "os.system beside its class": Bad({"w.pt": torch.zipped({"m/data.pkl": RUNS, "m/version": b"3"}), "net.py": NET}, "calls 'posix.system'"),
            "a module that is not there": Bad({"w.pt": torch.checkpoint(("shop.nets", "Net"))}, "the Python module 'shop'"),
        },
    ),
    "torch script": Sort(of="TORCHSCRIPT", runtime="torch", files={"m.pt": torch.script()}, cut="corrupt or truncated PyTorch file", late=("test_torch.py::test_what_is_broken_or_hostile_is_refused_in_words_and_leaves_nothing",)),
    "torch export": Sort(of="TORCH_EXPORT", runtime="torch", files={"m.pt2": torch.program()}, cut="corrupt or truncated PyTorch file", late=("test_torch.py::test_what_is_broken_or_hostile_is_refused_in_words_and_leaves_nothing",)),
    "safetensors": Sort(
        of="SAFETENSORS", runtime="torch", files={"w.safetensors": hf.safetensors(), "net.py": NET}, cut="truncated", keep=0.9,
        hostile={
            "a header of 8 EB": Bad({"w.safetensors": safetensors(b'{"a":1}', length=1 << 62), "net.py": NET}, "truncated"),
            "numbers past its end": Bad({"w.safetensors": hf.safetensors(promised=1 << 40), "net.py": NET}, "truncated"),
            "a header of lists": Bad({"w.safetensors": safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "net.py": NET}, "damaged header"),
        },
    ),
    "jax": Sort(
        of="JAX", runtime="jax", files={"m.jax": torch.jax()}, cut="truncated JAX function", keep=0.9,
        hostile={"for another machine": Bad({"m.jax": torch.jax(platforms=("tpu",))}, "was exported for tpu")},
    ),
    "keras": Sort(
        of="KERAS", runtime="keras", files={"m.keras": tf.keras(tf.layer("Dense"))}, cut="corrupt or truncated",
        hostile={
            "a Lambda layer": Bad({"m.keras": tf.keras(tf.layer("Lambda"))}, "has a Lambda layer"),
            "a Lambda within a layer": Bad({"m.keras": tf.keras(tf.layer("Dense", activation=tf.layer("__lambda__")))}, "has a Lambda layer"),
            "a class of a module": Bad({"m.keras": tf.keras(tf.layer("Popen", "subprocess"))}, "uses 'Popen'"),
            "lists within lists": Bad({"m.keras": keras_nested()}, "config.json is damaged"),
            "a configuration of 66 MB": Bad({"m.keras": zipped({"config.json": b" " * BOMB, "model.weights.h5": b"x"})}, "config.json is damaged"),
        },
    ),
    "keras in HDF5": Sort(
        of="HDF5", runtime="keras", files={"m.h5": tf.hdf5(b'model_config{"class_name": "Dense"}')}, cut="weights only",
        hostile={"a Lambda layer": Bad({"m.h5": tf.hdf5(b'model_config {"class_name": "Lambda"}')}, "has a Lambda layer")},
    ),
    "saved model": Sort(
        of="saved_model", runtime="tensorflow", files={"m/saved_model.pb": tf.SERVING, "m/variables/variables.index": tf.INDEX}, cut="corrupt or truncated", foreign="corrupt or truncated",
        hostile={
            "no variables": Bad({"m/saved_model.pb": tf.SERVING}, "(the folder variables) were not given"),
            "an ONNX model under its name": Bad({"m/saved_model.pb": onnx()}, "holds 0 graphs"),
        },
    ),
    "litert": Sort(of="TFLITE", runtime="litert", files={"m.tflite": b"\x1c\0\0\0TFL3" + bytes(64)}, late=("test_litert.py::test_a_damaged_file_is_refused",)),
    "openvino": Sort(
        of="OPENVINO", runtime="openvino", files={"m.xml": tf.ir((0, 8)), "m.bin": bytes(8)}, cut="truncated OpenVINO model", keep=0.9, foreign="no model that is known here, but",
        hostile={
            "an entity": Bad({"m.xml": tf.ir((0, 8), before='<!DOCTYPE x [<!ENTITY a "b">]>'), "m.bin": bytes(8)}, "declares a document type"),
            "weights past the end": Bad({"m.xml": tf.ir((1 << 50, 8)), "m.bin": bytes(8)}, "are truncated"),
            "no weights": Bad({"m.xml": tf.ir((0, 8))}, "which was not given"),
        },
    ),
    "xgboost": Sort(
        of="XGBOOST", runtime="xgboost", files={"m.json": booster.JSON % (3, 2)}, cut="not a whole XGBoost model", keep=0.9,
        hostile={"the old format": Bad({"m.model": booster.OLD}, "in the old binary format")},
        late=("test_hostile_boosters.py::test_a_wrong_file_is_refused_in_words_and_leaves_nothing",),
    ),
    "lightgbm": Sort(
        of="LIGHTGBM", runtime="lightgbm", files={"m.txt": booster.LIGHT % 4}, cut="corrupt or truncated LightGBM model",
        late=("test_hostile_boosters.py::test_a_wrong_file_is_refused_in_words_and_leaves_nothing",),
    ),
    "catboost": Sort(
        of="CATBOOST", runtime="catboost", files={"m.cbm": booster.CAT}, cut="corrupt or truncated CatBoost model",
        hostile={"a length of 4 GB": Bad({"m.cbm": b"CBM1\xff\xff\xff\xff" + bytes(64)}, "corrupt or truncated CatBoost model")},
        late=("test_hostile_boosters.py::test_a_wrong_file_is_refused_in_words_and_leaves_nothing",),
    ),
    "fasttext": Sort(
        of="FASTTEXT", runtime="fasttext", files={"m.bin": booster.FAST}, cut="truncated fastText model",
        late=("test_hostile_boosters.py::test_a_wrong_file_is_refused_in_words_and_leaves_nothing",),
    ),
    "gguf": Sort(
        of="GGUF", runtime="llm", files={"m.gguf": gguf.gguf()}, cut="is cut off",
        hostile={
            "an offset past the end": Bad({"m.gguf": gguf.gguf(tensors=[gguf.tensor(offset=1 << 40)])}, "puts the tensor 'w' at bytes"),
            "tensors on each other": Bad({"m.gguf": gguf.gguf(tensors=[gguf.tensor(), gguf.tensor("v", offset=32)], data=512)}, "puts the tensor 'v' over another one"),
            "a flood of keys": Bad({"m.gguf": gguf.gguf(counts=(1, 1 << 40))}, "over the limit"),
            "a text of 4 EB": Bad({"m.gguf": gguf.gguf([gguf.key("a", 8, struct.pack("<Q", 1 << 62))])}, "over the limit"),
        },
    ),
    "spacy": Sort(
        of="spacy", runtime="spacy", main="meta.json", files={"config.cfg": b"[nlp]\n", "meta.json": json.dumps(booster.META).encode()},
        cut="meta.json is damaged", foreign="meta.json is damaged", hostile={
            "a path in its requirements": Bad({"config.cfg": b"[nlp]\n", "meta.json": json.dumps({**booster.META, "requirements": ["x @ file:///etc"]}).encode()}, "meta.json"),
        },
        late=("test_hostile_boosters.py::test_a_broken_spacy_folder_is_refused_in_words_and_leaves_nothing",),
    ),
    "hugging face": Sort(
        of="huggingface", runtime="transformers", files=hf.WHOLE, main="config.json", cut="config.json is not a JSON object", foreign="config.json is not a JSON object",
        hostile={
            "code in its folder": Bad({**hf.WHOLE, "config.json": hf.config("MineModelWithHead", auto_map={"AutoModel": "mine.Mine"}), "mine.py": b"import os\nos.mkdir('escaped')\n"}, "(auto_map), which is not run"),
            "cut weights": Bad({**hf.WHOLE, "model.safetensors": hf.safetensors()[:-4]}, "truncated"),
            "numbers past its end": Bad({**hf.WHOLE, "model.safetensors": hf.safetensors(promised=1 << 40)}, "truncated"),
            "shards in a folder above": Bad({"config.json": hf.config(), **hf.TOKENIZER, "model.safetensors.index.json": hf.index("../../x.safetensors")}, "outside its own folder"),
            "a module of its own": Bad({**hf.SENTENCES, "modules.json": hf.modules("Transformer", "Mine")}, "has a module 'Mine'"),
            "modules in a folder above": Bad({**hf.SENTENCES, "modules.json": hf.modules("Transformer", path="../..")}, "has no config.json"),
        },
    ),
    "mlflow": Sort(
        of="mlflow", runtime="mlflow", files={"MLmodel": MLMODEL, "model.pkl": RUNS}, cut="MLmodel", keep=0.3, foreign="MLmodel",
        hostile={
            "a tag that makes objects": Bad({"MLmodel": b"flavors: !!python/object/apply:os.system ['id']\n"}, "has a tag, which is not read"),
            "aliases of aliases": Bad({"MLmodel": b"a: &a [x, x]\nb: &b [*a, *a]\nflavors: *b\n"}, "'MLmodel' cannot be read"),
            "data in a folder above": Bad({"MLmodel": MLMODEL.replace(b"model.pkl", b"../../etc/passwd")}, "points outside its own folder"),
            "data by an absolute name": Bad({"MLmodel": MLMODEL.replace(b"model.pkl", b"/etc/passwd")}, "points outside its own folder"),
            "no data": Bad({"MLmodel": MLMODEL}, "which was not given"),
        },
    ),
    "torchserve": Sort(
        of="torchserve", runtime="torchserve", files={"m.mar": zipped(mar())}, cut="corrupt or truncated",
        hostile={
            "names that climb out": Bad({"m.mar": zipped({**mar(), "../../../escaped.py": b"x = 1\n"})}, "unsafe name: '../../../escaped.py'"),
            "an absolute name": Bad({"m.mar": zipped({**mar(), "/tmp/escaped.py": b"x = 1\n"})}, "unsafe name: '/tmp/escaped.py'"),
            "a link": Bad({"m.mar": zipped(mar(), link="w.pt")}, "holds a link or device ('w.pt')"),
            "a bomb": Bad({"m.mar": zipped({**mar(), "w.pt": bytes(BOMB)})}, "more bytes than is allowed", "too_large"),
            "a handler in a folder above": Bad({"m.mar": zipped(mar(handler=HANDLER) | {"MAR-INF/MANIFEST.json": b'{"model": {"handler": "../../h.py"}}'})}, "has no handler"),
            "weights in a folder above": Bad({"m.mar": zipped(mar(serializedFile="../../../etc/passwd"))}, "which is not in it"),
            "a configuration that makes objects": Bad({"m.mar": zipped({**mar(configFile="c.yaml"), "c.yaml": b"a: !!python/name:os.system\n"})}, "has a tag, which is not read"),
            "a handler with a syntax error": Bad({"m.mar": zipped(mar(b"def handle(\n"))}, "has a syntax error in line 1"),
        },
    ),
    "triton": Sort(
        of="triton", runtime="triton_python", files={"m/config.pbtxt": TRITON, "m/1/model.py": BACKEND}, cut="config.pbtxt", foreign="config.pbtxt cannot be read",
        hostile={
            "a file in a folder above": Bad({"m/config.pbtxt": b'default_model_filename: "../../x.py"\n' + TRITON, "m/1/model.py": BACKEND}, "is not served"),
            "a version of 20 digits": Bad({"m/config.pbtxt": TRITON, f"m/{'9' * 20}/model.py": b"x = 1\n"}, "TritonPythonModel"),
            "messages within messages": Bad({"m/config.pbtxt": b"a {" * 10_000, "m/1/model.py": BACKEND}, "config.pbtxt cannot be read"),
            "an ensemble": Bad({"m/config.pbtxt": b'platform: "ensemble"\n', "m/1/x": b"x"}, "is an ensemble"),
        },
    ),
    "bentoml": Sort(
        of="bentoml", runtime="onnx", files={"model.yaml": BENTO, "saved_model.onnx": onnx()}, main="saved_model.onnx", cut="is not a plain file", foreign="is not a plain file",
        hostile={
            "a tag that makes objects": Bad({"model.yaml": b"module: !!python/name:os.system\ncontext: {}\n", "saved_model.onnx": onnx()}, "has a tag, which is not read"),
            "a pickle of a service": Bad({"model.yaml": BENTO, "saved_model.py": CLASS}, "is not a plain file"),
        },
    ),
    "sagemaker": script("inference.py", SCRIPT, "sagemaker", "sagemaker"),
    "azure ml": script("score.py", SCORE, "azureml", "azureml"),
    "endpoint handler": script("handler.py", ENDPOINT, "endpoint_handler", "endpoint_handler"),
    "python": script("model.py", CLASS, "PYTHON", "python"),
    "zip": Sort(
        of="ZIP", runtime="onnx", files={"m.zip": zipped({"m.onnx": onnx()})}, cut="corrupt or truncated",
        hostile={
            "names that climb out": Bad({"m.zip": zipped({"../../escaped.onnx": onnx()})}, "unsafe name"),
            "a link": Bad({"m.zip": zipped({}, link="m.onnx")}, "holds a link or device"),
            "a bomb": Bad({"m.zip": zipped({"m.onnx": bytes(BOMB)})}, "more bytes than is allowed", "too_large"),
        },
    ),
    "tar": Sort(
        of="TAR", runtime="sagemaker", files={"model.tar.gz": packed({"code/inference.py": SCRIPT, "weights": os.urandom(4096)})}, cut="corrupt or truncated",
        hostile={
            "names that climb out": Bad({"model.tar.gz": packed({"../../escaped.py": SCRIPT})}, "unsafe name"),
            "a link": Bad({"model.tar.gz": packed({"inference.py": SCRIPT}, link="w.pt")}, "holds a symbolic link ('w.pt')"),
            "a bomb": Bad({"model.tar.gz": packed({"inference.py": SCRIPT, "w.pt": bytes(BOMB)})}, "more bytes than is allowed", "too_large"),
        },
    ),
}  # fmt: skip
