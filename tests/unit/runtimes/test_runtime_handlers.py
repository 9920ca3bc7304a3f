"""Scripts of other serving systems, called as their systems call them; none of their packages is needed."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from inferry.bundles.samples import parse_text
from inferry.errors import InvalidInput, InvalidModel, ModelFailed
from inferry.runtimes.azureml import AzureMlRuntime
from inferry.runtimes.endpoint_handler import EndpointHandlerRuntime
from inferry.runtimes.sagemaker import SagemakerRuntime
from inferry.runtimes.torchserve import TorchServeRuntime, rows_of
from inferry.runtimes.triton_python import TritonPythonRuntime
from tests.support.inspections import example_of

B64 = base64.b64encode(b"\x89PNG").decode()


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch):
    """Imports, search path and environment of one test are no other's."""
    modules, path = dict(sys.modules), list(sys.path)
    for name in ("AZUREML_MODEL_DIR", "AZUREML_ENTRY_SCRIPT", "AML_APP_ROOT", "SM_MODEL_DIR", "SAGEMAKER_PROGRAM"):
        monkeypatch.setenv(name, "")
    yield
    sys.modules.clear()
    sys.modules.update(modules)
    sys.path[:] = path


def loaded(runtime, folder: Path, source: str, file: str = "script_x.py", entry: str | None = None, **options):
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return runtime().load(folder, file if entry is None else entry, options, None)


def test_sagemaker_calls_its_functions_in_order(tmp_path):
    (tmp_path / "weights.txt").write_text("3")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/helper.py").write_text("def double(x):\n    return 2 * x\n")
    model = loaded(SagemakerRuntime, tmp_path, """
import json
from pathlib import Path
from helper import double
def model_fn(model_dir):
    return int((Path(model_dir) / "weights.txt").read_text())
def input_fn(body, content_type):
    return json.loads(body)["instances"]
def predict_fn(data, model):
    return [double(x) * model for x in data]
def output_fn(prediction, accept):
    return json.dumps({"predictions": prediction}), accept
""", "code/inference.py")  # fmt: skip
    assert model.predict({"instances": [1, 2]}) == {"predictions": [6, 12]}
    described = model.describe(parse_text(b'{"instances": [1]}'))
    assert example_of(described) == {"instances": [1]}
    assert described.answer == {"predictions": [6]}
    assert (described.signature.kind, described.signature.whole) == ("open", True)


def test_sagemaker_does_the_usual_where_the_script_is_silent(tmp_path):
    model = loaded(SagemakerRuntime, tmp_path, """
class Twice:
    def predict(self, data):
        return data.sum(axis=1) * 2
def model_fn(model_dir, context=None):
    return Twice()
""")  # fmt: skip
    assert model.predict([[1, 2], [3, 4]]) == [6, 14]
    assert model.predict({"x": np.array([[1.0, 2.0]], np.float32)}) == [6]


def test_sagemaker_transform_fn_takes_all(tmp_path):
    model = loaded(SagemakerRuntime, tmp_path, """
def model_fn(model_dir):
    return "m"
def transform_fn(model, data, content_type, accept):
    return f"{model} {data} {content_type} {accept}".encode()
""")  # fmt: skip
    assert model.predict(5) == "m 5 application/json application/json"


def test_sagemaker_without_a_model_is_refused(tmp_path):
    with pytest.raises(InvalidModel, match="no model_fn"):
        loaded(SagemakerRuntime, tmp_path, "def predict_fn(data, model):\n    return data\n")


def test_azure_scripts_get_text_and_their_folder(tmp_path):
    (tmp_path / "w.txt").write_text("7")
    model = loaded(AzureMlRuntime, tmp_path, """
import json, os
from pathlib import Path
def init():
    global w
    w = int((Path(os.environ["AZUREML_MODEL_DIR"]) / "w.txt").read_text())
def run(raw_data):
    return [x * w for x in json.loads(raw_data)["data"]]
""")  # fmt: skip
    assert model.predict({"data": [1, 2]}) == [7, 14]


def test_azure_raw_scripts_get_a_request(tmp_path):
    model = loaded(AzureMlRuntime, tmp_path, """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init():
    pass
@rawhttp
def run(request):
    assert isinstance(request, AMLRequest) and request.method == "POST"
    value = request.get_json()
    assert request.get_data(as_text=True) == '{"x":%d}' % value["x"]
    return AMLResponse({"y": value["x"] + 1}, 200) if value["x"] > 0 else AMLResponse("too small", 400)
""")  # fmt: skip
    assert model.predict({"x": 1}) == {"y": 2}
    with pytest.raises(InvalidInput, match="too small"):
        model.predict({"x": 0})


def test_azure_described_scripts_get_their_values_by_name(tmp_path):
    schema, util = ModuleType("inference_schema"), ModuleType("inference_schema.schema_util")
    util.is_schema_decorated = lambda run: True
    sys.modules |= {"inference_schema": schema, "inference_schema.schema_util": util}
    model = loaded(AzureMlRuntime, tmp_path, "def init():\n    pass\ndef run(a, b=2):\n    return a + b\n")
    assert model.predict({"a": 1}) == 3
    with pytest.raises(InvalidInput):
        model.predict([1])


def test_endpoint_handlers_get_inputs_and_parameters(tmp_path):
    model = loaded(EndpointHandlerRuntime, tmp_path, """
class EndpointHandler:
    def __init__(self, path=""):
        self.name = path.rpartition("/")[2]
    def __call__(self, data):
        return [{"label": data["inputs"], "where": self.name, "k": data.get("parameters", {}).get("k")}]
""", "handler.py")  # fmt: skip
    assert model.predict({"inputs": "hi", "parameters": {"k": 2}}) == [{"label": "hi", "where": tmp_path.name, "k": 2}]
    assert model.predict("hi")[0]["label"] == "hi"


def test_what_a_handler_yields_goes_in_parts(tmp_path):
    model = loaded(EndpointHandlerRuntime, tmp_path, """
class EndpointHandler:
    def __init__(self, path=""):
        pass
    def __call__(self, data):
        return (word for word in data["inputs"].split())
""", "handler.py")  # fmt: skip
    assert list(model.predict("a b c")) == ["a", "b", "c"]
    assert model.describe(parse_text(b'"a b"')).answer == ["a", "b"]


ARCHIVE = {"manifest": {"model": {"modelName": "m"}}, "settings": {"scale": 2}, "function": ""}


def test_torchserve_functions_are_called_once_to_load(tmp_path):
    model = loaded(TorchServeRuntime, tmp_path, """
calls = []
def handle(data, context):
    calls.append(data)
    if data is None:
        return None
    assert calls[0] is None and context.manifest["model"]["modelName"] == "m"
    return [{"got": row.get("body"), "n": len(calls)} for row in data]
""", "h.py", entry="", handler="h.py", **ARCHIVE)  # fmt: skip
    assert model.predict([1, 2]) == {"got": [1, 2], "n": 2}
    assert model.predict({"instances": [{"body": 1}, 2]}) == [{"got": 1, "n": 3}, {"got": 2, "n": 3}]


def test_torchserve_classes_inherit_from_the_base_handler(tmp_path):
    model = loaded(TorchServeRuntime, tmp_path, """
from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import map_class_to_label
class Words(BaseHandler):
    def initialize(self, context):
        self.scale = context.model_yaml_config["scale"]
        context.metrics.add_time("loaded", 1)
    def preprocess(self, data):
        return [row.get("data") or row.get("body") for row in data]
    def inference(self, data):
        return [[len(one) * self.scale] for one in data]
    def postprocess(self, data):
        return map_class_to_label(data, {"0": ["n1", "length"]})
""", "h.py", entry="", handler="h.py", **ARCHIVE)  # fmt: skip
    assert model.predict("four") == {"length": 8}
    assert model.predict({"data": {"b64": B64}}) == {"length": 8}


def test_torchserve_status_and_row_count_are_checked(tmp_path):
    model = loaded(TorchServeRuntime, tmp_path, """
def handle(data, context):
    if data and data[0]["body"] == "bad":
        context.set_response_status(400, "no such thing")
    return None if data is None else [1]
""", "h.py", entry="", handler="h.py", **ARCHIVE)  # fmt: skip
    with pytest.raises(ModelFailed, match="status 400: no such thing"):
        model.predict("bad")
    with pytest.raises(ModelFailed, match="no list of 2"):
        model.predict({"instances": [1, 2]})


@pytest.mark.parametrize(
    ("value", "rows", "many"),
    [
        ({"data": "x"}, [{"data": "x"}], False),
        ({"x": 1}, [{"body": {"x": 1}}], False),
        ([1, 2], [{"body": [1, 2]}], False),
        ([{"data": 1}, {"body": 2}], [{"data": 1}, {"body": 2}], True),
        ({"instances": [{"b64": B64}]}, [{"body": b"\x89PNG"}], True),
        ({"b64": "not base64"}, [{"body": {"b64": "not base64"}}], False),
        ({}, [{"body": {}}], False),
    ],
)
def test_bodies_become_rows_as_torchserves_clients_mean_them(value, rows, many):
    assert rows_of(value) == (rows, many)


BACKEND = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def initialize(self, args):
        self.args = args
        assert json.loads(args["model_config"])["name"] == "m" and args["model_version"] == "1"
    def execute(self, requests):
        out = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            t = pb_utils.get_input_tensor_by_name(request, "t").as_numpy()
            assert x.dtype == pb_utils.triton_string_to_numpy("TYPE_FP32") and type(t[0]) is bytes
            if x[0] < 0:
                out.append(pb_utils.InferenceResponse(error=pb_utils.TritonError("below zero")))
            else:
                n = np.full(len(x), len(requests), np.int64)
                out.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x * 2), pb_utils.Tensor("n", n)]))
        return out
"""


def backend(folder: Path, source: str = BACKEND, most: int = 2):
    specs = [{"name": "x", "datatype": "FP32", "shape": [-1]}, {"name": "t", "datatype": "BYTES", "shape": [-1]}]
    outputs = [{"name": "y", "datatype": "FP32", "shape": [-1]}, {"name": "n", "datatype": "INT64", "shape": [-1]}]
    return loaded(
        TritonPythonRuntime, folder, source, "1/model.py", config={"max_batch_size": most}, version="1", name="m",
        inputs=specs, outputs=outputs,
    )  # fmt: skip


def test_a_triton_backend_gets_requests_of_at_most_its_batch_size(tmp_path):
    model = backend(tmp_path)
    inputs = {"x": np.arange(5, dtype=np.float32), "t": np.array(["a"] * 5, dtype=object)}
    answer = model.predict(inputs)
    assert answer["y"].tolist() == [0, 2, 4, 6, 8]
    assert answer["n"].tolist() == [3] * 5, "three requests in one call"


def test_a_triton_error_is_told(tmp_path):
    with pytest.raises(ModelFailed, match="below zero"):
        backend(tmp_path).predict({"x": np.array([-1], np.float32), "t": np.array(["a"], dtype=object)})


def test_a_triton_model_is_described_by_its_configuration(tmp_path):
    sample = parse_text(json.dumps({"x": [1.0, 2.0], "t": ["a", "b"]}).encode())
    found = backend(tmp_path).describe(sample).signature
    assert [(one.name, one.datatype, one.shape) for one in found.inputs] == [
        ("x", "FP32", (-1,)),
        ("t", "BYTES", (-1,)),
    ]
    assert [one.name for one in found.outputs] == ["y", "n"]


BROKEN = {
    "raises at import": ("raise RuntimeError('boom')\n", "The model raised RuntimeError: boom while loading"),
    "imports what is not there": ("import no_such_thing\n", "needs the Python module 'no_such_thing'"),
    "does not fit its name": ("x = 1\n", "has no|must have one"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("runtime", ["sagemaker", "azureml", "endpoint", "torchserve"])
def test_broken_scripts_are_told(tmp_path, runtime, case):
    source, said = BROKEN[case]
    with pytest.raises(InvalidModel, match=said):
        if runtime == "torchserve":
            loaded(TorchServeRuntime, tmp_path, source, "h.py", entry="", handler="h.py", **ARCHIVE)
        else:
            kinds = {"sagemaker": SagemakerRuntime, "azureml": AzureMlRuntime, "endpoint": EndpointHandlerRuntime}
            loaded(kinds[runtime], tmp_path, source)


def test_what_a_script_raises_is_told_without_its_traceback(tmp_path):
    model = loaded(AzureMlRuntime, tmp_path, "def init():\n    pass\ndef run(data):\n    return 1 / 0\n")
    with pytest.raises(ModelFailed, match="ZeroDivisionError"):
        model.predict(1)
