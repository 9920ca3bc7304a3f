"""gRPC clients that other people wrote, unmodified, against a real platform."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.support import models
from tests.support.platform import Platform

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the clients' own dependencies warn when imported
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

ROWS = np.array(models.IRIS_ROWS, dtype=np.float32)


@pytest.fixture(scope="module")
def endpoint(platform: Platform, model_dir: Path) -> str:
    platform.deploy(models.iris_onnx(model_dir), "grpc-clients")
    return "grpc-clients"


@pytest.fixture
def client(platform: Platform):
    with triton.InferenceServerClient(platform.grpc) as one:
        yield one


@pytest.fixture
def headers(platform: Platform) -> dict[str, str]:
    return {"authorization": f"Bearer {platform.key}"}


def rows_of(array: np.ndarray = ROWS, datatype: str = "FP32") -> list[triton.InferInput]:
    tensor = triton.InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return [tensor]


def test_tritonclient_predicts(client, endpoint: str, headers) -> None:
    answer = client.infer(endpoint, rows_of(), request_id="42", headers=headers)
    assert answer.as_numpy("label").tolist() == models.IRIS_KINDS
    assert answer.as_numpy("probabilities").shape == (2, 3)
    assert answer.get_response().id == "42"
    assert answer.get_response().model_version == "1"


def test_only_the_wanted_outputs_come(client, endpoint: str, headers) -> None:
    wanted = [triton.InferRequestedOutput("label")]
    answer = client.infer(endpoint, rows_of(), model_version="1", outputs=wanted, headers=headers)
    assert [output.name for output in answer.get_response().outputs] == ["label"]


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"headers": {}}, "UNAUTHENTICATED", "needs an API key"),
        ({"headers": {"authorization": "Bearer nonsense"}}, "UNAUTHENTICATED", "not known"),
        ({"model_name": "nobody"}, "NOT_FOUND", "no endpoint 'nobody'"),
        ({"model_version": "77"}, "NOT_FOUND", "does not serve version '77'"),
        ({"inputs": rows_of(ROWS[:, :3])}, "INVALID_ARGUMENT", "shape [2, 3]"),
        ({"inputs": rows_of(ROWS.astype(np.float64), "FP64")}, "INVALID_ARGUMENT", "datatype FP64"),
        ({"outputs": [triton.InferRequestedOutput("lable")]}, "INVALID_ARGUMENT", "Did you mean 'label'"),
        ({"client_timeout": 1e-6}, "DEADLINE_EXCEEDED", ""),
    ],
)
def test_errors_have_the_status_and_the_sentence(
    client, endpoint: str, headers, change, status: str, says: str
) -> None:
    call = {"model_name": endpoint, "inputs": rows_of(), "headers": headers, **change}
    with pytest.raises(InferenceServerException) as failed:
        client.infer(**call)
    assert failed.value.status() == f"StatusCode.{status}"
    assert says in failed.value.message()


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_read(client, endpoint: str, headers, algorithm: str) -> None:
    many = np.repeat(ROWS, 500, axis=0)
    answer = client.infer(endpoint, rows_of(many), headers=headers, compression_algorithm=algorithm)
    assert answer.as_numpy("label").tolist() == [0] * 500 + [2] * 500


def test_large_requests_and_answers(client, platform: Platform, headers, model_dir: Path) -> None:
    platform.deploy(models.doubler(model_dir), "grpc-doubler")
    big = np.random.default_rng(1).standard_normal((3, 300_000)).astype(np.float32)
    for rows in (1, 3, 2, 3):
        answer = client.infer("grpc-doubler", rows_of(big[:rows]), headers=headers)
        assert np.array_equal(answer.as_numpy("y"), big[:rows] * 2)
