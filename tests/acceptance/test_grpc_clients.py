"""gRPC clients that other people wrote, unmodified, against a real platform."""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest

from tests.support import models
from tests.support.platform import Platform

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the clients' own dependencies warn when imported
    import ovmsclient
    import tritonclient.grpc as triton
    import tritonclient.grpc.aio as triton_aio
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
    from ovmsclient.tfs_compat.grpc.serving_client import GrpcClient
    from ovmsclient.tfs_compat.protos.tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
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


# what the server tells


def test_tritonclient_asks_about_the_server_and_its_models(client, endpoint: str, headers) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(endpoint, headers=headers)
    assert client.is_model_ready(endpoint, "1", headers=headers)
    server = client.get_server_metadata(headers=headers)
    assert server.name == "inferry"
    assert "statistics" in server.extensions
    model = client.get_model_metadata(endpoint, headers=headers)
    assert [(one.name, one.datatype, list(one.shape)) for one in model.inputs] == [("x", "FP32", [-1, 4])]
    assert (list(model.versions), model.platform) == (["1"], "inferry_onnx")
    config = client.get_model_config(endpoint, headers=headers).config
    assert (config.name, config.input[0].name, list(config.input[0].dims)) == (endpoint, "x", [-1, 4])
    index = client.get_model_repository_index(headers=headers)
    assert (endpoint, "1", "READY") in [(one.name, one.version, one.state) for one in index.models]


def test_both_doors_tell_the_same_statistics(client, platform: Platform, endpoint: str, headers) -> None:
    def told() -> Any:
        (stats,) = client.get_inference_statistics(endpoint, headers=headers).model_stats
        return stats

    before = told()
    client.infer(endpoint, rows_of(), headers=headers)
    client.infer(endpoint, rows_of(), headers=headers)
    with pytest.raises(InferenceServerException):
        client.infer(endpoint, rows_of(ROWS[:, :3]), headers=headers)
    after = told()
    assert after.inference_count - before.inference_count == 4, "rows"
    assert after.execution_count - before.execution_count == 2
    now, then = after.inference_stats, before.inference_stats
    assert now.success.count - then.success.count == now.compute_infer.count - then.compute_infer.count == 2
    assert now.fail.count - then.fail.count == 1
    assert now.success.ns - then.success.ns > now.compute_infer.ns - then.compute_infer.ns > 0
    assert after.last_inference > max(before.last_inference, 1_700_000_000_000)
    (by_http,) = platform.call("GET", f"/v2/models/{endpoint}/stats").json()["model_stats"]
    assert by_http["inference_stats"]["success"] == {"count": now.success.count, "ns": now.success.ns}
    assert by_http["execution_count"] == after.execution_count
    every = platform.call("GET", "/v2/models/stats").json()["model_stats"]
    assert by_http in every
    assert platform.call("GET", "/v2/models/nobody/stats").status_code == 404


@pytest.mark.parametrize(
    ("call", "status", "says"),
    [
        (lambda c: c.get_model_metadata("grpc-clients"), "UNAUTHENTICATED", "needs an API key"),
        (lambda c: c.is_model_ready("nobody", headers=c.key), "NOT_FOUND", "no endpoint 'nobody'"),
        (lambda c: c.get_model_config("grpc-clients", "9", headers=c.key), "NOT_FOUND", "does not serve version '9'"),
        (lambda c: c.get_model_config("", headers=c.key), "INVALID_ARGUMENT", "names no model"),
        (lambda c: c.load_model("x", headers=c.key), "UNIMPLEMENTED", "inferry deploy"),
        (lambda c: c.unload_model("x", headers=c.key), "UNIMPLEMENTED", "inferry deploy"),
        (lambda c: c.get_trace_settings(headers=c.key), "UNIMPLEMENTED", "/metrics"),
        (lambda c: c.get_log_settings(headers=c.key), "UNIMPLEMENTED", "inferry logs"),
        (lambda c: c.get_system_shared_memory_status(headers=c.key), "UNIMPLEMENTED", "as bytes"),
        (lambda c: c.get_cuda_shared_memory_status(headers=c.key), "UNIMPLEMENTED", "as bytes"),
    ],
)
def test_what_is_not_told_is_refused_with_advice(client, endpoint: str, headers, call, status: str, says: str) -> None:
    client.key = headers
    with pytest.raises(InferenceServerException) as failed:
        call(client)
    assert failed.value.status() == f"StatusCode.{status}"
    assert says in failed.value.message()


def test_health_and_reflection_need_no_key(platform: Platform) -> None:
    with grpc.insecure_channel(platform.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService", "tensorflow.serving.PredictionService"):
            assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == 1
            assert next(health.Watch(health_pb2.HealthCheckRequest(service=service))).status == 1
        with pytest.raises(grpc.RpcError) as unknown:
            health.Check(health_pb2.HealthCheckRequest(service="x"))
        assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
        assert next(health.Watch(health_pb2.HealthCheckRequest(service="x"))).status == 3
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        for name in database.get_services():
            assert pool.FindServiceByName(name).methods
        assert (
            pool.FindMessageTypeByName("inference.ModelInferRequest").fields_by_name["raw_input_contents"].number == 7
        )
        with pytest.raises(KeyError):
            pool.FindMessageTypeByName("inference.Nothing")


# streams


class Answers:
    """The callback of tritonclient's stream."""

    def __init__(self) -> None:
        self.queue: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def __call__(self, result, error) -> None:
        self.queue.put((result, error))

    def next(self) -> Any:
        result, error = self.queue.get(timeout=30)
        if error is not None:
            raise error
        return result.get_response()


def test_a_stream_answers_each_request_and_outlives_errors(client, endpoint: str, headers) -> None:
    answers = Answers()
    client.start_stream(answers, headers=headers)
    for number in range(50):
        client.async_stream_infer(endpoint, rows_of(), request_id=str(number))
    got = [answers.next() for _ in range(50)]
    assert sorted(int(one.id) for one in got) == list(range(50))
    assert all(one.parameters["triton_final_response"].bool_param for one in got)
    client.async_stream_infer(endpoint, rows_of(ROWS[:, :3]), request_id="bad")
    with pytest.raises(InferenceServerException, match=r"shape \[2, 3\]"):
        answers.next()
    client.async_stream_infer("nobody", rows_of(), request_id="worse")
    with pytest.raises(InferenceServerException, match="no endpoint 'nobody'"):
        answers.next()
    client.async_stream_infer(endpoint, rows_of(), request_id="good")
    assert answers.next().id == "good"
    client.stop_stream()
    assert answers.queue.empty()


YIELDS = """
def predict(inputs):
    for number in range(int(inputs[0])):
        yield {"number": number}
"""


def test_a_model_that_yields_answers_in_parts(client, platform: Platform, model_dir: Path, headers) -> None:
    platform.deploy(models.python_file(model_dir, "yields", YIELDS), "grpc-yields")
    how_many = triton.InferInput("n", [1], "INT64")
    how_many.set_data_from_numpy(np.array([3]))

    def number(response: Any) -> int:
        return int(triton.InferResult(response).as_numpy("number").reshape(-1)[0])

    answers = Answers()
    client.start_stream(answers, headers=headers)
    client.async_stream_infer("grpc-yields", [how_many], request_id="a")
    parts = [answers.next() for _ in range(3)]
    assert [number(part) for part in parts] == [0, 1, 2]
    assert not any(part.parameters["triton_final_response"].bool_param for part in parts)
    client.async_stream_infer("grpc-yields", [how_many], request_id="b", enable_empty_final_response=True)
    parts = [answers.next() for _ in range(4)]
    assert [number(part) for part in parts[:3]] == [0, 1, 2]
    assert (parts[3].id, len(parts[3].outputs)) == ("b", 0)
    assert parts[3].parameters["triton_final_response"].bool_param
    client.stop_stream()
    assert answers.queue.empty()


def test_a_stream_without_a_key_is_refused_as_a_whole(client, endpoint: str) -> None:
    answers = Answers()
    client.start_stream(answers)
    client.async_stream_infer(endpoint, rows_of())
    with pytest.raises(InferenceServerException, match="needs an API key") as failed:
        answers.next()
    assert failed.value.status() == "StatusCode.UNAUTHENTICATED"


def test_the_asyncio_client_predicts_and_streams(platform: Platform, endpoint: str, headers) -> None:
    async def requests():
        for number in range(10):
            yield {"model_name": endpoint, "inputs": rows_of(), "request_id": str(number)}

    async def talk() -> list[str]:
        async with triton_aio.InferenceServerClient(platform.grpc) as client:
            answers = await asyncio.gather(*(client.infer(endpoint, rows_of(), headers=headers) for _ in range(20)))
            assert all(one.as_numpy("label").tolist() == models.IRIS_KINDS for one in answers)
            return [
                result.get_response().id async for result, error in client.stream_infer(requests(), headers=headers)
            ]

    assert sorted(asyncio.run(talk()), key=int) == [str(number) for number in range(10)]


# TensorFlow Serving


class WithKey(grpc.UnaryUnaryClientInterceptor):
    """ovmsclient has no option for metadata."""

    def __init__(self, key: str) -> None:
        self.key = key

    def intercept_unary_unary(self, continuation, details, request):
        fields = [*(details.metadata or ()), ("authorization", f"Bearer {self.key}")]
        return continuation(details._replace(metadata=fields), request)


@pytest.fixture
def ovms(platform: Platform):
    with grpc.insecure_channel(platform.grpc) as plain:
        channel = grpc.intercept_channel(plain, WithKey(platform.key))
        yield GrpcClient(
            channel, prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )  # fmt: skip


def test_ovmsclient_predicts_and_asks(ovms, endpoint: str) -> None:
    for version in (0, 1):
        answer = ovms.predict({"x": ROWS}, endpoint, version)
        assert answer["label"].tolist() == models.IRIS_KINDS
        assert answer["probabilities"].shape == (2, 3)
        assert ovms.get_model_status(endpoint, version) == {
            1: {"state": "AVAILABLE", "error_code": 0, "error_message": ""}
        }
    told = ovms.get_model_metadata(endpoint)
    assert told["model_version"] == 1
    assert told["inputs"] == {"x": {"shape": [-1, 4], "dtype": "DT_FLOAT"}}
    with pytest.raises(ovmsclient.tfs_compat.base.errors.ModelNotFoundError, match="nobody"):
        ovms.predict({"x": ROWS}, "nobody")
    with pytest.raises(ovmsclient.tfs_compat.base.errors.InvalidInputError, match="no input 'y'"):
        ovms.predict({"y": ROWS}, endpoint)
    with pytest.raises(ovmsclient.tfs_compat.base.errors.ModelNotFoundError):
        ovms.get_model_status(endpoint, 7)


# perf_analyzer


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [["-i", "http"], ["-i", "grpc"], ["-i", "grpc", "--streaming", "--async"], ["-i", "grpc", "--async"]]
)
def test_perf_analyzer_measures_it(platform: Platform, endpoint: str, how: list[str]) -> None:
    target = urlsplit(platform.http).netloc if "http" in how else platform.grpc
    command = [
        str(Path(sys.executable).with_name("perf_analyzer")), "-m", endpoint, "-u", target, *how, "--shape", "x:1,4",
        "--concurrency-range", "4", "-p", "500", "-r", "10", "-s", "999", "-H", f"authorization:Bearer {platform.key}",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Concurrency: 4, throughput:" in result.stdout, result.stdout + result.stderr
    assert "Successful request count:" in result.stdout
