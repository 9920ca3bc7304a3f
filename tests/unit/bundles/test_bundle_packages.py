"""Packages of other systems: told by what marks them, with the environment that they ask for, and never run."""

from __future__ import annotations

import io
import json
import sys
import zipfile

import pytest

from inferry.bundles.detect import detect
from inferry.errors import InvalidModel
from tests.unit.bundles.test_bundle_detect import dumped, onnx_model, placed, tarred

PYTHON = ".".join(map(str, sys.version_info[:3]))
MLMODEL = f"""
flavors:
  python_function:
    env: {{conda: conda.yaml, virtualenv: python_env.yaml}}
    loader_module: mlflow.sklearn
    model_path: model.pkl
    python_version: {PYTHON}
mlflow_version: 3.17.2
"""
SAGEMAKER = "import joblib, sklearn, os\ndef model_fn(model_dir):\n    return 1\n"
AZURE = "import numpy\ndef init():\n    pass\ndef run(data):\n    return data\n"
ENDPOINT = "class EndpointHandler:\n    def __init__(self, path=''):\n        pass\n    def __call__(self, data):\n        return data\n"
TRITON = 'name: "m" backend: "python" input { name: "x" data_type: TYPE_FP32 dims: 2 } output { name: "y" data_type: TYPE_INT64 dims: [] }\n'
BACKEND = "import torch\nclass TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
ONNX = 'platform: "onnxruntime_onnx" max_batch_size: 4\n'
BENTO = """
name: iris
module: bentoml.sklearn
labels: {}
context:
  framework_name: sklearn
  framework_versions:
    scikit-learn: 1.5.2
  bentoml_version: 1.4.40
"""


def files(**given):
    return {
        name.replace("__", "/").replace("_dot_", "."): data.encode() if isinstance(data, str) else data
        for name, data in given.items()
    }


def mar(manifest, **inside):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": manifest}))
        for name, data in inside.items():
            archive.writestr(name.replace("_dot_", "."), data)
    return made.getvalue()


HANDLER = "def handle(data, context):\n    return data\n"
CASES = {
    "mlflow": (
        {"MLmodel": MLMODEL, "model_dot_pkl": dumped(), "requirements_dot_txt": "mlflow==3.17.2\nscikit-learn==1.6.1\n"},
        "mlflow", "", ("mlflow-skinny==3.17.2", "scikit-learn==1.6.1", "pandas"),
    ),
    "mlflow below": ({"m__MLmodel": MLMODEL, "m__model_dot_pkl": b"x"}, "mlflow", "m", ("mlflow-skinny==3.17.2", "pandas")),
    "mlflow with extras": (
        {"MLmodel": MLMODEL, "model_dot_pkl": b"x", "requirements_dot_txt": "mlflow[genai]==3.1\npandas<3\n"},
        "mlflow", "", ("mlflow[genai]==3.1", "pandas<3", "mlflow-skinny==3.17.2"),
    ),
    "mlflow with conda": (
        {"MLmodel": MLMODEL, "model_dot_pkl": b"x",
         "conda_dot_yaml": "dependencies:\n- python=3.11\n- pip:\n  - mlflow==3.1\n  - numpy<3\n"},
        "mlflow", "", ("mlflow-skinny==3.1", "numpy<3", "pandas"),
    ),
    "sagemaker": (
        {"m_dot_gz": tarred({"model.joblib": dumped(), "code/inference.py": SAGEMAKER.encode(),
                             "code/requirements.txt": b"emoji\n"})},
        "sagemaker", "code/inference.py", None,
    ),
    "sagemaker at the top": ({"inference_dot_py": SAGEMAKER}, "sagemaker", "inference.py", ("joblib", "scikit-learn")),
    "azure": ({"score_dot_py": AZURE, "model_dot_pkl": b"x"}, "azureml", "score.py", ()),
    "endpoint": ({"handler_dot_py": ENDPOINT}, "endpoint_handler", "handler.py", ()),
    "triton python": (
        {"m__config_dot_pbtxt": TRITON, "m__1__model_dot_py": BACKEND, "m__12__model_dot_py": BACKEND},
        "triton_python", "m/12/model.py", ("torch",),
    ),
    "triton onnx": ({"config_dot_pbtxt": ONNX, "2__model_dot_onnx": onnx_model()}, "onnx", "2/model.onnx", ()),
    "triton policy": (
        {"config_dot_pbtxt": ONNX + "version_policy: { specific: { versions: [1] } }",
         "1__model_dot_onnx": onnx_model(), "2__model_dot_onnx": onnx_model()},
        "onnx", "1/model.onnx", (),
    ),
    "mar": ({"m_dot_mar": mar({"handler": "h.py"}, h_dot_py=HANDLER)}, "torchserve", "", ()),
    "mar with weights": (
        {"m_dot_mar": mar({"handler": "h", "serializedFile": "m.pt"}, h_dot_py=HANDLER, m_dot_pt=b"x")},
        "torchserve", "", ("torch",),
    ),
    "mar of images": (
        {"m_dot_mar": mar({"handler": "image_classifier", "serializedFile": "m.pt"}, m_dot_pt=b"x")},
        "torchserve", "", ("torch", "pillow"),
    ),
    "mar unpacked": (
        {"MAR-INF__MANIFEST_dot_json": '{"model": {"handler": "h.py:go"}}', "h_dot_py": HANDLER}, "torchserve", "", (),
    ),
    "bentoml": (
        {"model_dot_yaml": BENTO, "saved_model_dot_pkl": dumped(), "custom_objects_dot_pkl": dumped()},
        "sklearn", "saved_model.pkl", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_packages_are_recognised(tmp_path, case):
    given, runtime, entry, requirements = CASES[case]
    found = detect(placed(tmp_path, files(**given)))
    assert (found.runtime, found.entry) == (runtime, entry)
    if requirements is not None:
        assert found.requirements == requirements


def test_a_script_gets_what_its_pickle_and_its_imports_name(tmp_path):
    found = detect(placed(tmp_path, files(**CASES["sagemaker"][0])))
    assert found.requirements[0] == "emoji"
    assert found.requirements[1].startswith("scikit-learn==")
    assert "joblib" in found.requirements


def test_bentoml_versions_pin_what_the_file_needs(tmp_path):
    found = detect(placed(tmp_path, files(**CASES["bentoml"][0])))
    assert "scikit-learn==1.5.2" in found.requirements
    assert sum(line.startswith("scikit-learn") for line in found.requirements) == 1


def test_packages_that_nothing_pins_are_said(tmp_path):
    (note,) = detect(placed(tmp_path, files(inference_dot_py=SAGEMAKER))).notes
    assert note.startswith("No file says which version of joblib, scikit-learn it needs")


def test_another_python_is_said(tmp_path):
    old = MLMODEL.replace(PYTHON, "3.7.16")
    (note,) = detect(placed(tmp_path, files(MLmodel=old, model_dot_pkl=b"x"))).notes
    assert note.startswith("The model was saved with Python 3.7.16")


def test_the_configuration_goes_to_the_backend_as_triton_gives_it(tmp_path):
    config = (
        TRITON + 'max_batch_size: 4 parameters { key: "k" value { string_value: "v" } } instance_group { count: 1 }'
    )
    found = detect(placed(tmp_path, files(m__config_dot_pbtxt=config, m__1__model_dot_py=BACKEND)))
    assert found.options["config"]["parameters"] == {"k": {"string_value": "v"}}
    assert found.options["config"]["instance_group"] == [{"count": 1}]
    assert found.options["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    assert found.options["outputs"] == [{"name": "y", "datatype": "INT64", "shape": [-1]}]


REFUSED = {
    "MLmodel that makes objects": ({"MLmodel": "flavors: !!python/object/apply:os.system [id]\n"}, "line 1 has a tag, which is not read"),
    "MLmodel that is broken": ({"MLmodel": "flavors:\n  a: [1,\n"}, "'MLmodel' cannot be read as YAML: line"),
    "MLmodel that is binary": ({"MLmodel": b"\xff\xfe\0"}, "'MLmodel' is not text in UTF-8"),
    "MLmodel of nothing": ({"MLmodel": "a: 1\n"}, "names no flavors"),
    "MLmodel without a function": ({"MLmodel": "flavors:\n  spark:\n    a: 1\n"}, "its flavors are 'spark'"),
    "MLmodel without its file": ({"MLmodel": MLMODEL}, "names 'model.pkl', which was not given"),
    "MLmodel that climbs": ({"MLmodel": MLMODEL.replace("model.pkl", "../../etc/passwd")}, "points outside its own folder"),
    "MLmodel with a path": (
        {"MLmodel": MLMODEL, "model_dot_pkl": b"x", "requirements_dot_txt": "./local\n"}, "is not taken"),
    "conda with an address": (
        {"MLmodel": MLMODEL, "model_dot_pkl": b"x", "conda_dot_yaml": "dependencies:\n- pip:\n  - git+https://x.test/r\n"},
        "is not taken"),
    "mar that climbs": ({"m_dot_mar": mar({"handler": "h.py"}, **{"../../h_dot_py": HANDLER})}, "unsafe name"),
    "mar with an absolute name": ({"m_dot_mar": mar({"handler": "h.py"}, **{"/tmp/h_dot_py": HANDLER})}, "unsafe name"),
    "mar whose manifest climbs": ({"m_dot_mar": mar({"handler": "../h.py"})}, "has no handler '../h.py'"),
    "mar whose weights climb": (
        {"m_dot_mar": mar({"handler": "h.py", "serializedFile": "../../etc/passwd"}, h_dot_py=HANDLER)}, "which is not in it"),
    "mar without its handler": ({"m_dot_mar": mar({"handler": "h.py"})}, "The archive has no handler 'h.py'"),
    "mar without its weights": (
        {"m_dot_mar": mar({"handler": "h.py", "serializedFile": "m.pt"}, h_dot_py=HANDLER)}, "names 'm.pt', which is not in it"),
    "mar with a syntax error": ({"m_dot_mar": mar({"handler": "h.py"}, h_dot_py="def (\n")}, "'h.py' has a syntax error in line 1"),
    "mar of text": ({"m_dot_mar": mar({"handler": "text_classifier"})}, "own handler 'text_classifier' is not served"),
    "mar without a handler": ({"m_dot_mar": mar({})}, "does not name a handler"),
    "mar of nothing": ({"MAR-INF__MANIFEST_dot_json": "{", "h_dot_py": HANDLER}, "does not name a handler"),
    "inference.py with a syntax error": ({"code__inference_dot_py": "def model_fn(:\n"}, "syntax error in line 1"),
    "config.pbtxt of noise": ({"config_dot_pbtxt": b"\0\1\2", "1__model_dot_onnx": onnx_model()}, "config.pbtxt cannot be read: line 1"),
    "config.pbtxt of bytes": ({"config_dot_pbtxt": b"\xff\xff", "1__model_dot_onnx": onnx_model()}, "not text in UTF-8"),
    "two triton models": (
        {"a__config_dot_pbtxt": ONNX, "a__1__model_dot_onnx": onnx_model(), "b__config_dot_pbtxt": ONNX}, "2 models: 'a', 'b'"),
    "an ensemble": ({"config_dot_pbtxt": "platform: 'ensemble'", "1__x": b"x"}, "ensemble"),
    "a triton model without versions": ({"config_dot_pbtxt": ONNX, "model_dot_onnx": onnx_model()}, "no numbered version folder"),
    "a triton version that is not there": (
        {"config_dot_pbtxt": ONNX + "version_policy { specific { versions: 7 } }", "1__model_dot_onnx": onnx_model()},
        r"none of the versions \[7\]"),
    "a triton model without its file": ({"config_dot_pbtxt": ONNX, "1__other": b"x"}, "no file '1/model.onnx'"),
    "a triton model whose name climbs": (
        {"config_dot_pbtxt": ONNX + "default_model_filename: '../../x'", "1__other": b"x"}, "is not served"),
    "a triton engine": ({"config_dot_pbtxt": "platform: 'tensorrt_plan'", "1__model_dot_plan": b"x" * 99}, "is unknown, which is not served"),
    "a triton backend without its class": ({"config_dot_pbtxt": TRITON, "1__model_dot_py": "x = 1\n"}, "no class TritonPythonModel"),
    "a triton backend with a syntax error": ({"config_dot_pbtxt": TRITON, "1__model_dot_py": "x = (\n"}, "syntax error in line 1"),
    "a decoupled model": (
        {"config_dot_pbtxt": TRITON + "model_transaction_policy { decoupled: true }", "1__model_dot_py": BACKEND}, "decoupled"),
    "a triton input without a type": (
        {"config_dot_pbtxt": "backend: 'python' input { name: 'x' }", "1__model_dot_py": BACKEND}, "an input whose name"),
    "a bentoml model of nothing": ({"model_dot_yaml": BENTO, "saved_model_dot_bin": b"x" * 50}, "'saved_model.bin'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_packages_are_refused_in_words(tmp_path, case):
    given, said = REFUSED[case]
    with pytest.raises(InvalidModel, match=said) as refusal:
        detect(placed(tmp_path, files(**given)))
    assert refusal.value.help
    assert str(tmp_path) not in refusal.value.sentence()
    assert not list(tmp_path.parent.glob("h.py"))


def test_scripts_are_never_run(tmp_path):
    marker = tmp_path / "ran"
    run = f"import os\nos.mkdir({str(marker)!r})\n"
    for number, given in enumerate(
        [{"inference_dot_py": run + SAGEMAKER}, {"score_dot_py": run + AZURE}, {"handler_dot_py": run + ENDPOINT},
         {"m_dot_mar": mar({"handler": "h.py"}, h_dot_py=run + HANDLER)},
         {"config_dot_pbtxt": TRITON, "1__model_dot_py": run + BACKEND}]
    ):  # fmt: skip
        detect(placed(tmp_path / str(number), files(**given)))
    assert not marker.exists()
