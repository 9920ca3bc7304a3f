"""Packages of other systems answer the clients of those systems, at their paths, with bodies as they came."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from tests.support.kinds import mar, zipped
from tests.support.platform import Platform

SAGEMAKER = r"""
import io
import json

import numpy as np


def model_fn(model_dir):
    return 2


def input_fn(body, content_type):
    if content_type == "application/x-npy":
        assert isinstance(body, bytes)
        return np.load(io.BytesIO(body))
    if content_type == "text/csv":
        assert isinstance(body, str)
        return np.array([[float(x) for x in line.split(";")] for line in body.splitlines()])
    if content_type == "application/x-fail":
        raise ValueError("this type is not mine")
    return np.array(json.loads(body)["rows"])


def predict_fn(data, model):
    return model * data


def output_fn(prediction, accept):
    if accept == "text/csv":
        return "\n".join(";".join(str(x) for x in row) for row in prediction), "text/csv; charset=utf-8"
    return json.dumps({"doubled": prediction.tolist()}), accept
"""
HANDLER = rb"""
def handle(data, context):
    if data is None:
        return None
    (row,) = data
    kind = context.get_request_header(0, "Content-Type")
    if "picture" in row:
        context.set_response_content_type(0, "image/png")
        return [b"\x89PNG" + row["picture"]]
    if row.get("body") == b"header":
        context.set_response_content_type(0, "text/plain\r\nx-evil: 1")
        return ["x"]
    if row.get("body") == b"bad":
        context.set_response_status(400, "no such thing", 0)
        return [b""]
    body = row["body"]
    return [{"kind": kind, "body": body if isinstance(body, dict) else body.decode("latin-1")}]
"""
SCORE = """
import json


def init():
    pass


def run(raw_data):
    assert isinstance(raw_data, str)
    return json.dumps({"said": raw_data})
"""
ENDPOINT = """
class EndpointHandler:
    def __init__(self, path=""):
        pass

    def __call__(self, data):
        inputs = data["inputs"]
        return [{"inputs": len(inputs) if isinstance(inputs, bytes) else inputs, "parameters": data.get("parameters")}]
"""


@pytest.fixture(scope="module")
def doors(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("packages")
    scripts = {"door-sagemaker/inference.py": SAGEMAKER, "door-azure/score.py": SCORE, "door-hf/handler.py": ENDPOINT}
    for name, text in scripts.items():
        (root / name).parent.mkdir()
        (root / name).write_text(text)
        platform.deploy((root / name).parent, (root / name).parent.name)
    (root / "door-torchserve.mar").write_bytes(zipped(mar(HANDLER)))
    platform.deploy(root / "door-torchserve.mar", "door-torchserve")
    headers = {"authorization": f"Bearer {platform.key}"}
    with httpx.Client(base_url=platform.http, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def sagemaker(platform: Platform, doors: httpx.Client) -> Any:
    client = boto3.client(
        "sagemaker-runtime", endpoint_url=platform.http, region_name="eu-west-1",
        config=Config(signature_version=UNSIGNED, retries={"max_attempts": 1}),
    )  # fmt: skip

    def with_key(request: Any, **_: Any) -> None:
        request.headers["Authorization"] = f"Bearer {platform.key}"

    client.meta.events.register("before-sign.sagemaker-runtime", with_key)
    return client


def test_boto3_reaches_a_sagemaker_package(sagemaker: Any) -> None:
    asked = {"EndpointName": "door-sagemaker", "ContentType": "application/json", "Accept": "application/json"}
    answer = sagemaker.invoke_endpoint(**asked, Body=b'{"rows": [[1, 2]]}')
    assert json.loads(answer["Body"].read()) == {"doubled": [[2, 4]]}
    assert answer["ContentType"] == "application/json"
    answer = sagemaker.invoke_endpoint(**asked | {"ContentType": "text/csv", "Accept": "text/csv"}, Body=b"1;2\n3;4")
    assert answer["Body"].read() == b"2.0;4.0\n6.0;8.0"
    assert answer["ContentType"] == "text/csv; charset=utf-8"
    rows = io.BytesIO()
    np.save(rows, np.ones((40_000, 3)))  # over what goes in a frame: it lies in shared memory
    answer = sagemaker.invoke_endpoint(**asked | {"ContentType": "application/x-npy"}, Body=rows.getvalue())
    assert np.sum(json.loads(answer["Body"].read())["doubled"]) == 240_000
    with pytest.raises(sagemaker.exceptions.ClientError, match="this type is not mine"):
        sagemaker.invoke_endpoint(**asked | {"ContentType": "application/x-fail"}, Body=b"x")


def test_a_torchserve_handler_is_given_what_torchserve_gives(doors: httpx.Client) -> None:
    def post(**body: Any) -> httpx.Response:
        return doors.post("/predictions/door-torchserve", **body)

    assert post(json={"a": 1}).json() == {"kind": "application/json", "body": {"a": 1}}
    typed = {"content-type": "text/plain"}
    assert post(content=b"h\xe9", headers=typed).json() == {"kind": "text/plain", "body": "h\xe9"}
    picture = post(files={"picture": b"\0\1"})
    assert (picture.content, picture.headers["content-type"]) == (b"\x89PNG\0\1", "image/png")
    assert doors.post("/predictions/door-torchserve/1", json={}).status_code == 200
    refused = post(content=b"bad", headers=typed).json()
    assert refused["code"] == 500
    assert "no such thing" in refused["message"]
    broken = post(content=b"header", headers=typed)
    assert (broken.status_code, "x-evil" in broken.headers) == (500, False)
    assert "content type" in broken.json()["message"]
    missing = doors.post("/predictions/nobody", json={}).json()
    assert (missing["code"], missing["type"]) == (404, "ModelNotFoundException")


def test_an_azure_script_is_given_the_text_of_the_body(doors: httpx.Client) -> None:
    answer = doors.post(
        "/endpoints/door-azure/score", content=b'{"data":  [1]}', headers={"content-type": "application/json"}
    )
    assert json.loads(answer.json()) == {"said": '{"data":  [1]}'}, "a text goes as JSON, as Azure's server has it"


def test_a_handler_of_inference_endpoints_takes_json_text_and_files(doors: httpx.Client) -> None:
    asked = {"inputs": "hello", "parameters": {"top": 1}}
    assert doors.post("/endpoints/door-hf", json=asked).json() == [asked]
    sound = doors.post("/endpoints/door-hf", content=b"RIFF", headers={"content-type": "audio/wav"})
    assert sound.json() == [{"inputs": 4, "parameters": None}]
    assert (
        "error" in doors.post("/endpoints/door-hf", content=b"{", headers={"content-type": "application/json"}).json()
    )
    chunked = doors.post(
        "/endpoints/door-hf", content=iter([b'{"inputs"', b": 1}"]), headers={"content-type": "application/json"}
    )
    assert chunked.json() == [{"inputs": 1, "parameters": None}]


def test_any_other_model_answers_there_in_plain_json(doors: httpx.Client, platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def predict(inputs):\n    return inputs\n")
    platform.deploy(tmp_path / "model.py", "door-python")
    for path in ("/predictions/door-python", "/endpoints/door-python/score", "/endpoints/door-python"):
        assert doors.post(path, json={"x": [1]}).json()["predictions"] == {"x": [1]}
    assert (
        doors.post("/endpoints/door-python/invocations", content=b"x", headers={"content-type": "a/b"}).status_code
        == 415
    )
