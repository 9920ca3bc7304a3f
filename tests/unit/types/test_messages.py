"""Messages by descriptor, against the protobuf library; and our .proto files against other people's."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.types.messages import Messages
from inferry.types.protobuf import WireError
from tests.support.protos import DESCRIPTORS, POOL, PROTOS, message

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from google.protobuf import descriptor_pb2, json_format

OURS = Messages(lambda: DESCRIPTORS)

METADATA = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=9),
        "versions": st.lists(st.text(max_size=3), max_size=3),
        "inputs": st.lists(
            st.fixed_dictionaries(
                {"name": st.text(max_size=5)},
                optional={"shape": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4)},
            ),
            max_size=3,
        ),
    },
)


@given(values=METADATA)
def test_a_message_is_written_and_read_as_the_library_does(values) -> None:
    name = "inference.ModelMetadataResponse"
    written = OURS.encode(name, values)
    read = message(name).FromString(written)
    assert json_format.ParseDict(json_format.MessageToDict(read), message(name)()) == read
    assert OURS.decode(name, read.SerializeToString()) == {key: value for key, value in values.items() if value} | (
        {"inputs": [{k: v for k, v in item.items() if v} for item in values["inputs"]]} if values.get("inputs") else {}
    )


def test_enums_maps_and_flags() -> None:
    config = {
        "config": {
            "name": "m",
            "max_batch_size": 8,
            "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4]}],
            "model_transaction_policy": {"decoupled": True},
        }
    }
    written = OURS.encode("inference.ModelConfigResponse", config)
    assert OURS.decode("inference.ModelConfigResponse", written) == config
    read = message("inference.ModelConfigResponse").FromString(written).config
    assert (read.input[0].data_type, list(read.input[0].dims), read.model_transaction_policy.decoupled) == (
        11,
        [-1, 4],
        True,
    )

    signature = {"inputs": {"x": {"dtype": "DT_FLOAT"}}, "method_name": "m"}
    written = OURS.encode("tensorflow.SignatureDef", signature)
    assert OURS.decode("tensorflow.SignatureDef", written) == signature
    assert message("tensorflow.SignatureDef").FromString(written).inputs["x"].dtype == 1

    floats = message("inference.InferTensorContents")(
        fp32_contents=[1.5, -2], fp64_contents=[0.1], bool_contents=[True]
    )
    assert OURS.decode("inference.InferTensorContents", floats.SerializeToString()) == {
        "fp32_contents": [1.5, -2], "fp64_contents": [0.1], "bool_contents": [True],
    }  # fmt: skip


@given(data=st.binary(max_size=60), name=st.sampled_from(sorted(OURS.tables.fields)))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    with contextlib.suppress(WireError):
        OURS.decode(name, data)


def test_the_descriptors_are_those_of_the_files(tmp_path: Path) -> None:
    made = tmp_path / "made.binpb"
    files = [file.name for file in PROTOS.glob("*.proto")]
    command = ["-m", "grpc_tools.protoc", "-I", ".", "--include_imports", f"--descriptor_set_out={made}", *files]
    subprocess.run([sys.executable, "-W", "ignore", *command], cwd=PROTOS, check=True)

    def by_name(data: bytes):
        return {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(data).file}

    assert by_name(made.read_bytes()) == by_name(DESCRIPTORS), "run tools/make-protos"


def shape(field) -> tuple:
    """What makes a field the same on the wire."""
    kind = "enum" if field.enum_type else field.type
    return field.number, kind, field.is_repeated


def compare(ours, other) -> None:
    for field in ours.fields:
        known = other.fields_by_name[field.name]
        if field.full_name != "tensorflow.serving.StatusProto.error_code":
            assert shape(field) == shape(known), field.full_name
        if field.message_type and not field.message_type.full_name.startswith("google."):
            compare(field.message_type, known.message_type)
        if field.enum_type:
            for value in field.enum_type.values:
                assert known.enum_type.values_by_name[value.name].number == value.number


@pytest.mark.parametrize(
    ("service", "module", "name"),
    [
        ("inference.GRPCInferenceService", "tritonclient.grpc.service_pb2", "GRPCInferenceService"),
        ("grpc.health.v1.Health", "grpc_health.v1.health_pb2", "Health"),
        ("grpc.reflection.v1alpha.ServerReflection", "grpc_reflection.v1alpha.reflection_pb2", "ServerReflection"),
        (
            "tensorflow.serving.PredictionService",
            "ovmsclient.tfs_compat.protos.tensorflow_serving.apis.prediction_service_pb2",
            "PredictionService",
        ),
        (
            "tensorflow.serving.ModelService",
            "ovmsclient.tfs_compat.protos.tensorflow_serving.apis.model_service_pb2",
            "ModelService",
        ),
    ],
)
def test_our_protocols_are_those_of_the_clients(service: str, module: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = __import__(module, fromlist=["DESCRIPTOR"]).DESCRIPTOR.services_by_name[name]
    for method in POOL.FindServiceByName(service).methods:
        known = other.methods_by_name[method.name]
        compare(method.input_type, known.input_type)
        compare(method.output_type, known.output_type)
        assert (method.client_streaming, method.server_streaming) == (known.client_streaming, known.server_streaming)
