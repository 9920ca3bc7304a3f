"""Packages of other serving systems, made by their own tools, deployed unchanged with one command.

What the system itself answered to held-out rows, in the process that made the package, is what the endpoint answers.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.forge import Forge, Forged, same, served
from tests.support.platform import CommandFailed, Platform


def test_an_mlflow_folder_is_a_table_with_its_own_example(platform: Platform, forge: Forge) -> None:
    forged = forge.make("package_mlflow_sklearn")
    made = platform.deploy(forged.artifact, "mlflow-sklearn")
    signature = made["signature"]
    assert signature["kind"] == "table"
    assert [(one["name"], one["datatype"]) for one in signature["inputs"]] == [
        ("age", "INT64"), ("income", "FP64"), ("job", "BYTES"),
    ]  # fmt: skip
    assert signature["batchable"]
    served(platform, "mlflow-sklearn", forged)
    missing = platform.predict("mlflow-sklearn", [{"age": 20, "income": None, "job": "nurse"}])
    assert missing["predictions"][0]["output"] in {"yes", "no"}
    rows = {name: array.tolist() for name, array in forged.arrays("inputs").items()}
    frame = {"columns": list(rows), "data": [list(row) for row in zip(*rows.values(), strict=True)]}
    answer = platform.call("POST", "/endpoints/mlflow-sklearn/invocations", json={"dataframe_split": frame})
    assert answer.json() == {"predictions": forged.arrays("expected")["output"].tolist()}


def test_a_persons_own_mlflow_model_answers_its_named_outputs(platform: Platform, forge: Forge) -> None:
    forged = forge.make("package_mlflow_pyfunc")
    made = platform.deploy(forged.artifact, "mlflow-pyfunc")
    assert made["signature"]["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]
    served(platform, "mlflow-pyfunc", forged)


def test_an_mlflow_model_of_nested_values_takes_any_json(platform: Platform, forge: Forge) -> None:
    forged = forge.make("package_mlflow_nested")
    made = platform.deploy(forged.artifact, "mlflow-nested")
    assert made["signature"]["kind"] == "open"
    kept = json.loads((forged.folder / "asked.json").read_text())
    assert platform.predict("mlflow-nested", kept["rows"])["predictions"] == kept["said"]
    answer = platform.call("POST", "/endpoints/mlflow-nested/invocations", json={"dataframe_records": kept["rows"]})
    assert answer.json() == {"predictions": kept["said"]}


def test_a_sagemaker_archive_takes_the_bodies_of_its_clients(platform: Platform, forge: Forge) -> None:
    forged = forge.make("package_sagemaker")
    platform.deploy(forged.artifact, "sagemaker", sample=forged.sample)
    body = {"instances": forged.arrays("inputs")["instances"].tolist()}
    answer = platform.predict("sagemaker", body)["predictions"]
    again = platform.call("POST", "/endpoints/sagemaker/invocations", json=body).json()
    assert again == answer
    same(answer["predictions"], forged.arrays("expected")["predictions"], "probabilities", 1e-9, 0)


def test_a_triton_backend_serves_its_highest_version(platform: Platform, forge: Forge) -> None:
    forged = forge.make("package_triton_python")
    made = platform.deploy(forged.artifact, "triton-python")
    assert [(one["name"], one["datatype"], one["shape"]) for one in made["signature"]["inputs"]] == [
        ("VALUES", "FP32", [-1, 3]), ("WORDS", "BYTES", [-1, 1]),
    ]  # fmt: skip
    served(platform, "triton-python", forged)
    refused = platform.call("POST", "/predict/triton-python", json={"VALUES": [[1, 2, 3]], "WORDS": [["bad"]]})
    assert refused.status_code == 500
    assert "a bad word" in refused.text


def test_a_triton_policy_chooses_the_version(platform: Platform, forge: Forge) -> None:
    forged = forge.make("package_triton_onnx")
    platform.deploy(forged.artifact, "triton-onnx")
    served(platform, "triton-onnx", forged)


def test_a_bentoml_model_is_served_by_its_own_framework(platform: Platform, forge: Forge) -> None:
    forged = forge.make("package_bentoml")
    made = platform.deploy(forged.artifact, "bentoml")
    assert made["signature"]["inputs"][0]["name"] == "x"
    served(platform, "bentoml", forged)


def test_a_mar_of_images_answers_as_torchserve_does(platform: Platform, forge: Forge) -> None:
    forged = forge.make("package_mar")
    platform.deploy(forged.artifact, "mar-images", sample=forged.sample, timeout=600)
    kept = json.loads((forged.folder / "pictures.json").read_text())
    for body in (
        [{"data": one} for one in kept["pictures"]],
        {"instances": [{"b64": one} for one in kept["pictures"]]},
    ):
        answers = platform.predict("mar-images", body)["predictions"]
        for answer, said in zip(answers, kept["said"], strict=True):
            assert list(answer) == list(said), "the same classes in the same order"
            np.testing.assert_allclose(list(answer.values()), list(said.values()), rtol=1e-3)
    alone = platform.predict("mar-images", {"data": kept["pictures"][1]})["predictions"]
    assert list(alone) == list(kept["said"][1])


def test_a_mar_with_a_handler_of_its_own(platform: Platform, forge: Forge) -> None:
    forged = forge.make("package_mar_custom")
    platform.deploy(forged.artifact, "mar-custom", sample=forged.sample, timeout=600)
    rows, expected = forged.arrays("inputs")["rows"], forged.arrays("expected")
    answers = platform.predict("mar-custom", {"instances": [{"data": row} for row in rows.tolist()]})["predictions"]
    same([answer["scores"] for answer in answers], expected["scores"], "scores", 1e-5, 1e-6)
    assert [answer["best"] for answer in answers] == expected["best"].tolist()


AZURE = """
import json
import os

import joblib
import pandas


def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.pkl"))


def run(raw_data):
    data = json.loads(raw_data)["data"]
    return {"label": model.predict(data).tolist(), "probabilities": model.predict_proba(data).tolist()}
"""
ENDPOINT = """
import joblib


class EndpointHandler:
    def __init__(self, path=""):
        self.model = joblib.load(f"{path}/model.pkl")

    def __call__(self, data):
        rows, most = data["inputs"], data.get("parameters", {}).get("most", 3)
        return [sorted(row, reverse=True)[:most] for row in self.model.predict_proba(rows).tolist()]
"""


@pytest.fixture
def pickled(forge: Forge) -> Forged:
    """A scikit-learn pickle, beside which a script is put."""
    return forge.make("package_bentoml")


def beside(pickled: Forged, folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.pkl").write_bytes((pickled.artifact / "saved_model.pkl").read_bytes())
    (folder / name).write_text(script)
    return folder


def test_an_azure_script_beside_a_pickle_gets_the_version_that_made_it(
    platform: Platform, pickled: Forged, tmp_path: Path
) -> None:
    made = platform.deploy(beside(pickled, tmp_path / "azure", "score.py", AZURE), "azure")
    assert made["signature"]["kind"] == "open"
    answer = platform.predict("azure", {"data": pickled.arrays("inputs")["x"].tolist()})["predictions"]
    for name, wanted in pickled.arrays("expected").items():
        same(answer[name], wanted, name, 1e-9, 0)


def test_a_handler_of_inference_endpoints(platform: Platform, pickled: Forged, tmp_path: Path) -> None:
    platform.deploy(beside(pickled, tmp_path / "endpoint", "handler.py", ENDPOINT), "endpoint")
    rows = pickled.arrays("inputs")["x"].tolist()
    wanted = np.sort(pickled.arrays("expected")["probabilities"], axis=1)[:, ::-1]
    same(platform.predict("endpoint", {"inputs": rows})["predictions"], wanted, "all", 1e-9, 0)
    top = platform.predict("endpoint", {"inputs": rows, "parameters": {"most": 1}})["predictions"]
    same(top, wanted[:, :1], "the best", 1e-9, 0)


def mar(handler: str | None, **manifest: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": {"handler": "h.py", **manifest}}))
        if handler is not None:
            archive.writestr("h.py", handler)
    return made.getvalue()


def climbing() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": {"handler": "h.py"}}))
        archive.writestr("h.py", "def handle(data, context):\n    return data\n")
        archive.writestr("../../../escaped.py", "x = 1\n")
    return made.getvalue()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a mar that climbs out": ({"m.mar": climbing()}, "unsafe name: '../../../escaped.py'"),
    "a mar without its handler": ({"m.mar": mar(None)}, "The archive has no handler 'h.py'."),
    "a mar with a syntax error": ({"m.mar": mar("def handle(\n")}, "'h.py' has a syntax error in line 1."),
    "a mar that raises on import": ({"m.mar": mar("raise RuntimeError('boom in /usr/x')\n")}, "The model raised RuntimeError: boom in x while loading."),
    "a mar whose handler does nothing": ({"m.mar": mar("x = 1\n")}, "must have one function or class with handle, and has none."),
    "an MLmodel that makes objects": ({"MLmodel": "flavors: !!python/object/apply:os.system ['id']\n"}, "line 1 has a tag, which is not read."),
    "an MLmodel that is broken": ({"MLmodel": "flavors:\n a: 'x\n"}, "'MLmodel' cannot be read as YAML: line"),
    "an MLmodel without its file": (
        {"MLmodel": "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: m.pkl\n"},
        "The MLmodel file names 'm.pkl', which was not given.",
    ),
    "a script with a syntax error": ({"code/inference.py": "def model_fn(:\n"}, "has a syntax error in line 1."),
    "a script that raises on import": (
        {"inference.py": "1 / 0\ndef model_fn(model_dir):\n    return 1\n"}, "The model raised ZeroDivisionError",
    ),
    "a script that leaves": ({"score.py": "import os\ndef init():\n    os._exit(3)\ndef run(data):\n    return data\n"}, "status 3"),
    "a handler that is slow to say no": (
        {"handler.py": "class EndpointHandler:\n    def __init__(self, path):\n        raise OSError('no weights')\n"
                       "    def __call__(self, data):\n        return 1\n"},
        "The model raised OSError: no weights while loading.",
    ),
    "a configuration of noise": ({"config.pbtxt": "\0\1%%", "1/model.py": "x = 1\n"}, "config.pbtxt cannot be read: line 1"),
    "a repository of two": (
        {"a/config.pbtxt": "backend: 'python'", "a/1/model.py": "x = 1\n", "b/config.pbtxt": "", "b/1/model.py": "x = 1\n"},
        "The Triton repository holds 2 models: 'a', 'b'.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_packages_are_refused_and_leave_nothing(platform: Platform, tmp_path: Path, case: str) -> None:
    files, said = BAD[case]
    folder = tmp_path / "package"
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    lone = next(folder.iterdir()) if list(files) == ["m.mar"] else folder
    replicas = platform.replica_pids()
    with pytest.raises(CommandFailed) as refusal:
        platform.deploy(lone, "bad-package")
    assert said in refusal.value.stdout + refusal.value.stderr
    assert "Traceback" not in refusal.value.stderr
    names = [one["name"] for one in platform.call("GET", "/v1/models", control=True).json()["models"]]
    assert "bad-package" not in names
    assert platform.replica_pids() == replicas
    assert not list(platform.home.rglob("escaped*"))
    assert not list((platform.home / "staging").iterdir())
