"""Detection by content, and never by running anything."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import os
import pickle
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest
import sklearn
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from inferry.bundles.detect import detect
from inferry.errors import InferryError, InvalidModel

FITTED = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
VERSION = f"scikit-learn=={sklearn.__version__}"
CLASS = b"class Model:\n    def predict(self, inputs):\n        return inputs\n"


def dumped(**how):
    made = io.BytesIO()
    joblib.dump(FITTED, made, **how)
    return made.getvalue()


def packed_joblib(tmp_path, how):
    joblib.dump(FITTED, tmp_path / "x", compress=how)
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").unlink()
    return data


def onnx_model(location=None):
    weights = numpy_helper.from_array(np.ones(64, np.float32), "w")
    if location is not None:
        onnx.external_data_helper.set_external_data(weights, location, 0, 256)
        weights.ClearField("raw_data")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        [weights],
    )
    return helper.make_model(graph).SerializeToString()


def zipped(**files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return made.getvalue()


def tarred(files, mode="w:gz"):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def placed(tmp_path, files):
    folder = tmp_path / "artifact"
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    folder.mkdir(exist_ok=True)
    return folder


SERVED = {
    "onnx": ({"m.onnx": onnx_model()}, "onnx", "m.onnx"),
    "onnx without extension": ({"weights": onnx_model()}, "onnx", "weights"),
    "onnx called pickle": ({"m.pkl": onnx_model()}, "onnx", "m.pkl"),
    "onnx with data": ({"m.onnx": onnx_model("w.bin"), "w.bin": b"\0" * 256}, "onnx", "m.onnx"),
    "onnx in a folder": ({"a/b/m.onnx": onnx_model(), "README.md": b"# read me"}, "onnx", "a/b/m.onnx"),
    "joblib": ({"m.joblib": dumped()}, "sklearn", "m.joblib"),
    "joblib without extension": ({"thing": dumped()}, "sklearn", "thing"),
    "pickle 0": ({"m.pkl": pickle.dumps(FITTED, 0)}, "sklearn", "m.pkl"),
    "pickle 2": ({"m.pkl": pickle.dumps(FITTED, 2)}, "sklearn", "m.pkl"),
    "pickle called onnx": ({"m.onnx": pickle.dumps(FITTED)}, "sklearn", "m.onnx"),
    "skops": ({"m.skops": skops.io.dumps(FITTED)}, "sklearn", "m.skops"),
    "skops called zip": ({"m.zip": skops.io.dumps(FITTED)}, "sklearn", "m.zip"),
    "model and its code": ({"m.pkl": dumped(), "parts.py": b"class Part:\n    pass\n"}, "sklearn", "m.pkl"),
    "model and an estimator class": (
        {"m.pkl": dumped(), "parts.py": CLASS + b"    def fit(self, x):\n        return self\n"}, "sklearn", "m.pkl",
    ),
    "python": ({"m.py": CLASS}, "python", "m.py"),
    "python function": ({"m.py": b"def predict(x):\n    return x\n"}, "python", "m.py"),
    "python without extension": ({"model": CLASS}, "python", "model"),
    "python with weights": ({"model.py": CLASS, "w.npy": b"\x93NUMPY", "w.pkl": dumped()}, "python", "model.py"),
    "python project": ({"model.py": CLASS, "other.py": CLASS, "__pycache__/x.pyc": b"1"}, "python", "model.py"),
    "hidden files do not count": ({"m.onnx": onnx_model(), ".D": b"x", ".git/a.pkl": dumped()}, "onnx", "m.onnx"),
    "zip of a model": ({"m.zip": zipped(export__m_dot_onnx=onnx_model())}, "onnx", "m.onnx"),
    "tar.gz of a project": ({"p.tgz": tarred({"p/model.py": CLASS, "p/lib/a.py": b"x = 1\n"})}, "python", "model.py"),
    "tar": ({"p.tar": tarred({"m.joblib": dumped()}, "w")}, "sklearn", "m.joblib"),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVED)
def test_models_are_recognised_by_content(tmp_path, case):
    files, runtime, entry = SERVED[case]
    found = detect(placed(tmp_path, files))
    assert (found.runtime, found.entry) == (runtime, entry)
    assert (tmp_path / "artifact" / entry).is_file()
    assert VERSION in found.requirements if runtime == "sklearn" else found.requirements == ()


@pytest.mark.parametrize("how", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)], ids=str)
def test_compressed_joblib_files_tell_their_version(tmp_path, how):
    found = detect(placed(tmp_path, {"m.joblib": packed_joblib(tmp_path, how)}))
    assert found.runtime == "sklearn"
    assert VERSION in found.requirements


REFUSED = {
    "torch zip": ({"m.pt": zipped(archive__data_dot_pkl=b"", archive__version=b"3")}, "PyTorch"),
    "torch legacy": ({"m.pt": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."}, "PyTorch"),
    "safetensors": ({"m.safetensors": (8).to_bytes(8, "little") + b'{"a":{}}' + b"\0" * 8}, "safetensors"),
    "gguf": ({"m.gguf": b"GGUF\x03\0\0\0" + b"\0" * 64}, "GGUF"),
    "xgboost json": ({"m.json": b'{"learner":{"attributes":{},"gradient_booster":{}}}'}, "XGBoost"),
    "lightgbm": ({"m.txt": b"tree\nversion=v4\nnum_class=1\n"}, "LightGBM"),
    "catboost": ({"m.cbm": b"CBM1" + b"\0" * 64}, "CatBoost"),
    "pmml": ({"m.pmml": b'<?xml version="1.0"?><PMML version="4.4"/>'}, "PMML"),
    "arrays": ({"w.npz": zipped(a_dot_npy=b"")}, "NumPy"),
    "notebook": ({"n.ipynb": b'{"cells": []}'}, "notebook"),
    "git lfs": ({"m.onnx": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"}, "LFS"),
    "nothing": ({}, "no file"),
    "only hidden": ({".hidden": b"x"}, "no file"),
    "empty": ({"m.onnx": b""}, "is empty"),
    "text": ({"m.txt": b"hello, this is not a model"}, "not a model that is known"),
    "json": ({"m.json": b'{"a": [1, 2, 3]}'}, "not a model that is known"),
    "noise": ({"m.bin": bytes(range(256)) * 4}, "not a model that is known"),
    "zip of nothing": ({"m.zip": zipped()}, "no file"),
    "damaged zip": ({"m.zip": zipped(a_dot_onnx=onnx_model())[:-30]}, "corrupt or truncated"),
    "truncated onnx": ({"m.onnx": onnx_model()[:-20]}, "truncated ONNX"),
    "syntax error": ({"m.py": b"def predict(x):\n    return (\n"}, "syntax error in line 2"),
    "python without predict": ({"m.py": b"x = 1\n"}, "no class or function with predict"),
    "two models": ({"a.pkl": dumped(), "b.onnx": onnx_model()}, "holds 2 models: 'a.pkl', 'b.onnx'"),
    "two entries": ({"a.py": CLASS, "b.py": CLASS}, "Several Python files have predict: 'a.py', 'b.py'"),
    "no entry": ({"a.py": b"x = 1\n", "b.py": b"y = 1\n"}, "No Python file of the folder"),
    "data outside": ({"m.onnx": onnx_model("../../etc/passwd")}, "outside its own folder"),
    "data absolute": ({"m.onnx": onnx_model("/etc/passwd")}, "outside its own folder"),
    "data missing": ({"m.onnx": onnx_model("w.bin")}, "'w.bin', which was not given"),
    "data short": ({"m.onnx": onnx_model("w.bin"), "w.bin": b"\0" * 255}, "truncated"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_served_is_refused_by_its_name(tmp_path, case):
    files, said = REFUSED[case]
    with pytest.raises(InvalidModel, match=said) as refusal:
        detect(placed(tmp_path, files))
    assert str(tmp_path) not in refusal.value.sentence()


def test_a_link_in_a_folder_is_refused(tmp_path):
    folder = placed(tmp_path, {"m.onnx": onnx_model("w.bin")})
    (folder / "w.bin").symlink_to("/etc/passwd")
    with pytest.raises(InvalidModel, match="link"):
        detect(folder)


def test_a_lone_file_needs_no_folder_of_its_own(tmp_path):
    (tmp_path / "other.onnx").write_bytes(onnx_model())
    (tmp_path / "m.joblib").write_bytes(dumped())
    assert detect(tmp_path / "m.joblib").entry == "m.joblib"


class Evil:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize(
    "pack", [bytes, zlib.compress, gzip.compress, bz2.compress], ids=["plain", "zlib", "gzip", "bz2"]
)
def test_a_pickle_that_runs_code_is_never_run(tmp_path, pack):
    marker = tmp_path / "ran"
    before = set(sys.modules)
    found = detect(placed(tmp_path, {"m.pkl": pack(pickle.dumps(Evil(marker)))}))
    assert found.requirements[0] == "scikit-learn"
    assert not marker.exists()
    assert not {name for name in set(sys.modules) - before if name.startswith("evil")}


def test_a_hostile_python_file_is_only_parsed(tmp_path):
    marker = tmp_path / "ran"
    source = f"import os\nos.mkdir({str(marker)!r})\n".encode() + CLASS
    assert detect(placed(tmp_path, {"m.py": source})).runtime == "python"
    deep = b"x = " + b"(" * 5000 + b")" * 5000
    with pytest.raises(InvalidModel):
        detect(placed(tmp_path / "deep", {"m.py": deep}))
    assert not marker.exists()


def test_packages_named_in_a_pickle_are_asked_for(tmp_path):
    data = pickle.dumps(FITTED)[:-1] + b"\x8c\x0fxgboost.sklearn\x8c\rXGBClassifier\x93\x8c\x15numpy._core.multiarray0."
    found = detect(placed(tmp_path, {"m.pkl": data}))
    assert found.requirements == (VERSION, "joblib", "pandas", "numpy>=2", "xgboost")


def test_an_old_scikit_learn_gets_an_old_numpy(tmp_path):
    stamp = b"\x8c\x10_sklearn_version\x94\x8c\x051.2.2\x94"
    found = detect(placed(tmp_path, {"m.pkl": b"\x80\x04\x95" + b"\0" * 8 + stamp + b"."}))
    assert found.requirements == ("scikit-learn==1.2.2", "joblib", "pandas", "numpy<2")


def test_the_persons_own_pins_win(tmp_path):
    asked = (
        b"# mine\nScikit_Learn==1.5.0 ; python_version >= '3.9'\nnumpy>=1.26,<3  # why\n"
        b"mylib[extra]~=2.1 \\\n    --hash=sha256:00\n"
    )
    files = {"m.pkl": dumped(), "requirements.txt": asked}
    assert detect(placed(tmp_path, files)).requirements == (
        "Scikit_Learn==1.5.0 ; python_version >= '3.9'", "numpy>=1.26,<3", "mylib[extra]~=2.1", "joblib", "pandas",
    )  # fmt: skip


def test_a_script_block_asks_for_packages(tmp_path):
    block = (
        b'# /// script\n# requires-python = ">=3"\n# dependencies = [\n#   "numpy==1.26.4",\n#   "emoji",\n# ]\n# ///\n'
    )
    assert detect(placed(tmp_path, {"m.py": block + CLASS})).requirements == ("numpy==1.26.4", "emoji")


@pytest.mark.parametrize(
    "line",
    [
        "-r other.txt", "-e .", "--index-url https://x.test/simple", "--extra-index-url=http://x.test", "./local",
        "/abs/pkg.whl", "file:///etc/passwd", "pkg @ file:///etc/passwd", "pkg @ https://x.test/p.whl",
        "git+https://x.test/r.git", "pkg==1.0 --config-settings=x", "pkg; import os", "pkg $(id)", "pkg==1\x00", "a b",
    ],
)  # fmt: skip
def test_requirement_lines_that_reach_elsewhere_are_refused(tmp_path, line):
    files = {"model.py": CLASS, "requirements.txt": f"numpy\n{line}\n".encode()}
    with pytest.raises(InvalidModel, match=r"line 2 of requirements\.txt"):
        detect(placed(tmp_path, files))
    block = f"# /// script\n# dependencies = [{json.dumps(line)}]\n# ///\n".encode()
    with pytest.raises(InvalidModel):
        detect(placed(tmp_path / "b", {"m.py": block + CLASS}))


def test_detection_imports_no_framework():
    import subprocess

    code = (
        "import sys, inferry.bundles.detect, inferry.bundles.pack, inferry.bundles.samples, inferry.bundles.inspector;"
        "bad = {'sklearn', 'joblib', 'onnxruntime', 'onnx', 'pandas', 'skops', 'scipy'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    source = str(Path(detect.__code__.co_filename).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": source})


@given(st.binary(max_size=400) | st.binary(max_size=60).map(lambda tail: onnx_model()[:40] + tail))
def test_no_bytes_make_detection_fail_otherwise_than_by_refusing(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("a")
    (folder / "m").write_bytes(data)
    with contextlib.suppress(InferryError):
        detect(folder)
