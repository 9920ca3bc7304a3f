"""Clients that other people wrote, unmodified: Open Inference Protocol, TensorFlow Serving, KServe v1."""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.support import models
from tests.support.forge import Forge
from tests.support.platform import Platform

ROWS = np.array(models.IRIS_ROWS, dtype=np.float32)

KSERVE = """
import asyncio, json, sys
import httpx
import numpy as np
from kserve import InferInput, InferRequest, RESTConfig
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient

async def main(base, target, key, rows):
    headers = {"authorization": "Bearer " + key}
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(base, headers=headers)
    assert await client.is_server_ready(base, headers=headers)
    assert await client.is_model_ready(base, "clients", headers=headers)
    said = []
    for binary in (False, True):
        tensor = InferInput("x", [len(rows), 4], "FP32")
        tensor.set_data_from_numpy(np.array(rows, dtype=np.float32), binary_data=binary)
        answer = await client.infer(base, InferRequest("clients", [tensor]), model_name="clients", headers=headers)
        said.append(next(o for o in answer.outputs if o.name == "label").as_numpy().tolist())
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await client.is_server_live(base)
    assert await client.is_model_ready(base, "clients", headers=headers)
    answer = await client.infer(base, {"instances": rows}, model_name="clients", headers=headers)
    said.append([prediction["label"] for prediction in answer["predictions"]])
    try:
        await client.explain(base, "clients", {"instances": rows}, headers=headers)
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 501, error
    client, fields = InferenceGRPCClient(target), (("authorization", "Bearer " + key),)
    assert await client.is_server_live(headers=fields)
    assert await client.is_model_ready("clients", headers=fields)
    for binary in (False, True):
        tensor = InferInput("x", [len(rows), 4], "FP32")
        tensor.set_data_from_numpy(np.array(rows, dtype=np.float32), binary_data=binary)
        answer = await client.infer(InferRequest("clients", [tensor]), headers=fields)
        said.append(next(o for o in answer.outputs if o.name == "label").as_numpy().tolist())
    print(json.dumps(said))

asyncio.run(main(*sys.argv[1:4], json.loads(sys.argv[4])))
"""


@pytest.fixture(scope="module")
def endpoint(platform: Platform, model_dir: Path) -> str:
    platform.deploy(models.iris_onnx(model_dir), "clients")
    return "clients"


@pytest.fixture
def triton(platform: Platform):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own dependencies warn when imported
        import tritonclient.http as client
    one = client.InferenceServerClient(urlsplit(platform.http).netloc)
    yield client, one, {"authorization": f"Bearer {platform.key}"}
    one.close()


def test_tritonclient_asks_about_the_server_and_the_model(triton, endpoint: str) -> None:
    _, client, headers = triton
    assert client.is_server_live(headers=headers)
    assert client.is_server_ready(headers=headers)
    assert client.is_model_ready(endpoint, headers=headers)
    assert not client.is_model_ready("nobody", headers=headers)
    metadata = client.get_model_metadata(endpoint, headers=headers)
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert endpoint in [model["name"] for model in client.get_model_repository_index(headers=headers)]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("outputs", ["all by default", "all JSON", "one of each"])
def test_tritonclient_gets_right_answers_binary_json_and_mixed(triton, endpoint, binary_in, outputs) -> None:
    module, client, headers = triton
    tensor = module.InferInput("x", list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS, binary_data=binary_in)
    wanted = {
        "all by default": None,
        "all JSON": [module.InferRequestedOutput(name, binary_data=False) for name in ("label", "probabilities")],
        "one of each": [
            module.InferRequestedOutput("label", binary_data=False),
            module.InferRequestedOutput("probabilities", binary_data=True),
        ],
    }[outputs]
    answer = client.infer(endpoint, [tensor], outputs=wanted, request_id="42", headers=headers)
    assert answer.get_response()["id"] == "42"
    assert answer.as_numpy("label").tolist() == models.IRIS_KINDS
    assert answer.as_numpy("probabilities").argmax(axis=1).tolist() == models.IRIS_KINDS


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_tritonclient_may_compress_its_requests(triton, endpoint: str, compression: str) -> None:
    module, client, headers = triton
    tensor = module.InferInput("x", list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS)
    answer = client.infer(endpoint, [tensor], headers=headers, request_compression_algorithm=compression)
    assert answer.as_numpy("label").tolist() == models.IRIS_KINDS


def test_tritonclient_gets_errors_it_understands(triton, endpoint: str) -> None:
    module, client, headers = triton
    tensor = module.InferInput("x", [1, 3], "FP32")
    tensor.set_data_from_numpy(ROWS[:1, :3].copy())
    with pytest.raises(module.InferenceServerException) as wrong_shape:
        client.infer(endpoint, [tensor], headers=headers)
    assert wrong_shape.value.status() == "400"
    with pytest.raises(module.InferenceServerException) as unknown:
        client.infer("nobody", [tensor], headers=headers)
    assert unknown.value.status() == "404"


def test_curl_predicts_and_fails_as_documented(platform: Platform, endpoint: str) -> None:
    def curl(*arguments: str) -> tuple[int, str]:
        result = subprocess.run(
            ["curl", "-sS", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {platform.key}", *arguments],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        body, _, status = result.stdout.rpartition("\n")
        return int(status), body

    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 4], "data": models.IRIS_ROWS}
    infer = f"{platform.http}/v2/models/{endpoint}/infer"
    status, body = curl(infer, "-H", "Expect: 100-continue", "-d", json.dumps({"inputs": [tensor]}))
    assert status == 200
    labels = next(output for output in json.loads(body)["outputs"] if output["name"] == "label")
    assert labels["data"] == models.IRIS_KINDS
    status, body = curl(f"{platform.http}/predict/{endpoint}", "-d", json.dumps(models.IRIS_ROWS))
    assert status == 200
    assert [row["label"] for row in json.loads(body)["predictions"]] == models.IRIS_KINDS
    status, body = curl(f"{platform.http}/predict/nobody", "-d", "[]")
    assert status == 404
    assert json.loads(body)["error"]["code"] == "not_found"


@pytest.fixture
def ovms(platform: Platform):
    """The light client of TensorFlow Serving's API; it has no option for a header, but a session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ovmsclient
    client = ovmsclient.make_http_client(urlsplit(platform.http).netloc)
    client.session.headers["authorization"] = f"Bearer {platform.key}"
    with client.session:
        yield client


def test_ovmsclient_asks_about_a_model(ovms, endpoint: str) -> None:
    for version in (0, 1):
        assert ovms.get_model_status(endpoint, version)[1]["state"] == "AVAILABLE"
        told = ovms.get_model_metadata(endpoint, version)
        assert told["model_spec"]["version"] == "1"
        default = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert default["inputs"]["x"]["dtype"] == "DT_FLOAT"


def test_ovmsclient_predicts_from_tensors_columns_and_bytes(ovms, platform, endpoint, model_dir: Path) -> None:
    answer = ovms.predict({"x": ROWS}, endpoint)
    assert answer["label"].tolist() == models.IRIS_KINDS
    assert answer["probabilities"].argmax(axis=1).tolist() == models.IRIS_KINDS
    trained = models.jobs(model_dir)
    platform.deploy(trained, "clients-table", sample=trained.with_suffix(".csv"))
    columns = {"age": [41], "income": [3.5], "job": np.array([b"nurse"]), "member": [True]}
    (plain,) = platform.predict("clients-table", [[41, 3.5, "nurse", True]])["predictions"]
    assert ovms.predict(columns, "clients-table")["label"].tolist() == [plain["label"]]


def test_ovmsclient_gets_errors_it_understands(ovms, endpoint: str) -> None:
    from ovmsclient.tfs_compat.base.errors import InvalidInputError, ModelNotFoundError

    with pytest.raises(InvalidInputError, match="expected 4 values"):
        ovms.predict({"x": ROWS[:, :3]}, endpoint)
    for call in (ovms.get_model_status, ovms.get_model_metadata, lambda name: ovms.predict({"x": ROWS}, name)):
        with pytest.raises(ModelNotFoundError, match=r"Servable not found for request: Latest\(nobody\)"):
            call("nobody")
    with pytest.raises(ModelNotFoundError, match=r"Specific\(clients, 9\)"):
        ovms.predict({"x": ROWS}, endpoint, 9)


@pytest.mark.slow
def test_kserve_clients_work_unmodified(platform: Platform, endpoint: str, forge: Forge) -> None:
    python = forge.python(("kserve==0.21.0",))  # it is large and pins much
    result = subprocess.run(
        [python, "-c", KSERVE, platform.http, platform.grpc, platform.key, json.dumps(models.IRIS_ROWS)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == [models.IRIS_KINDS] * 5
