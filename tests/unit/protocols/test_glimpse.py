"""Glimpse: the same prediction is read through every door; what says nothing is no error."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.interfaces.codec import Call
from inferry.protocols.glimpse import glimpse
from inferry.protocols.grpc_oip import GrpcOipCodec
from inferry.protocols.mlflow import MlflowCodec
from inferry.protocols.oip import OipCodec
from inferry.protocols.plain import PlainCodec
from inferry.protocols.tfs import PredictCodec
from inferry.protocols.tfs_grpc import TfsGrpcCodec
from inferry.types import frames
from inferry.types.feedback import Captured, Prediction
from inferry.types.signature import Signature, TensorSpec

X = TensorSpec(name="x", datatype="FP32", shape=(-1, 2))
CLASSIFIER = Signature(
    kind="tensors",
    inputs=(X,),
    outputs=(
        TensorSpec(name="label", datatype="INT64", shape=(-1,)),
        TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 2), labels=(0, 1)),
    ),
    batchable=True,
)
REGRESSOR = Signature(
    kind="tensors", inputs=(X,), outputs=(TensorSpec(name="price", datatype="FP64", shape=(-1, 1)),), batchable=True
)
OPEN = Signature(kind="open")

CLASSES = {"label": np.array([1, 0]), "probabilities": np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)}
NUMBERS = {"price": np.array([[1.5], [-2.0]])}
SAID = (Prediction(label=1, scores={"0": 0.25, "1": 0.75}), Prediction(label=0, scores={"0": 0.5, "1": 0.5}))

DOORS = {
    "plain": (frames.DOOR_PLAIN, PlainCodec, False),
    "oip": (frames.DOOR_OIP, OipCodec, False),
    "oip-binary": (frames.DOOR_OIP, OipCodec, True),
    "tfs": (frames.DOOR_PREDICT, PredictCodec, False),
    "grpc": (frames.DOOR_GRPC, GrpcOipCodec, True),
    "grpc-typed": (frames.DOOR_GRPC, GrpcOipCodec, False),
    "tfs-grpc": (frames.DOOR_TFS, TfsGrpcCodec, False),
}


def captured(body, *, door=frames.DOOR_PLAIN, content=frames.CONTENT_JSON, json_size=0):
    return Captured("e", 1, 1, "id", 0.0, "k", door, content, json_size, body)


def seen(signature, outputs, door):
    number, kind, binary = DOORS[door]
    call = Call(inputs={}, rows=2, id="", name="m", version="1", binary=binary)
    encoded = kind(signature).encode(call, outputs)
    return glimpse(captured(encoded.body, door=number, content=encoded.content, json_size=encoded.json_size), signature)


@pytest.mark.parametrize("door", DOORS)
def test_classes_with_their_scores(door) -> None:
    assert seen(CLASSIFIER, CLASSES, door) == ("id", SAID)


@pytest.mark.parametrize("door", DOORS)
def test_numbers(door) -> None:
    assert seen(REGRESSOR, NUMBERS, door)[1] == (Prediction(value=1.5), Prediction(value=-2.0))


def test_columns_and_mlflow() -> None:
    call = Call(inputs={}, rows=2)
    body = MlflowCodec(CLASSIFIER).encode(call, CLASSES).body
    labels = glimpse(captured(body, door=frames.DOOR_MLFLOW), CLASSIFIER)[1]
    assert [one.label for one in labels] == [1, 0]
    call.options = (
        PredictCodec(CLASSIFIER)
        .decode(frames.Request(1, 1, frames.DOOR_PREDICT, 0, 0, 0, "m", "1", b'{"inputs": [[1, 2], [3, 4]]}'))
        .options
    )
    body = PredictCodec(CLASSIFIER).encode(call, CLASSES).body
    assert glimpse(captured(body, door=frames.DOOR_PREDICT), CLASSIFIER)[1] == SAID


def test_an_id_of_the_message_names_the_request() -> None:
    call = Call(inputs={}, rows=2, id="mine", name="m", version="1", binary=True)
    body = GrpcOipCodec(CLASSIFIER).encode(call, CLASSES).body
    assert glimpse(captured(body, door=frames.DOOR_GRPC, content=frames.CONTENT_PROTO), CLASSIFIER)[0] == "mine"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('"cat"', Prediction(label="cat")),
        ("true", Prediction(label=True)),
        ("3", Prediction(label=3, value=3.0)),
        ("3.5", Prediction(value=3.5)),
        ("[[3.5]]", Prediction(value=3.5)),
        ("[0.1, 0.9]", Prediction(label=1, scores={"0": 0.1, "1": 0.9})),
        ('{"label": "POSITIVE", "score": 0.9}', Prediction(label="POSITIVE", scores={"POSITIVE": 0.9})),
        ('{"probabilities": {"no": 0.9, "yes": 0.1}}', Prediction(label="no", scores={"no": 0.9, "yes": 0.1})),
        ('{"value": 2}', Prediction(label=2, value=2.0)),
        ('{"y": {"label": "a"}}', Prediction(label="a")),
    ],
)
def test_any_form_of_a_python_model(row, expected) -> None:
    assert glimpse(captured(f'{{"predictions": [{row}]}}'.encode()), OPEN)[1] == (expected,)


def test_of_many_classes_the_likeliest_are_kept_in_the_order_of_the_classes() -> None:
    shares = [0.5 / 976] * 1000
    likely = {place: 0.02 + place / 1e6 for place in range(7, 1000, 50)}
    for place, share in likely.items():
        shares[place] = share
    shares[3] = 1 - sum(shares) + shares[3]
    [said] = glimpse(captured(json.dumps({"predictions": [shares]}).encode()), OPEN)[1]
    kept = [3, *sorted(likely)[1:]]
    assert said == Prediction(label=3, scores={str(place): round(shares[place], 6) for place in kept})
    assert list(said.scores) == [str(place) for place in kept]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        (b"not json", {}),
        (b"[1]", {}),
        (b'{"predictions": []}', {}),
        (b'{"predictions": [[1.0, 2.0, 3.0]]}', {}),
        (b'{"predictions": [null]}', {}),
        (b'{"predictions": [1.5]}', {"door": frames.DOOR_CHAT}),
        (b'{"predictions": [1.5]}', {"content": frames.CONTENT_PNG}),
        (b'{"outputs": [{"name": "y", "shape": [9], "datatype": "FP32", "data": [1]}]}', {"door": frames.DOOR_OIP}),
        (b'{"outputs": 3}', {"door": frames.DOOR_OIP, "content": frames.CONTENT_BINARY, "json_size": 14}),
        (b"\xff\xff", {"door": frames.DOOR_GRPC, "content": frames.CONTENT_PROTO}),
    ],
)
def test_what_says_nothing_is_no_error(body, fields) -> None:
    assert glimpse(captured(body, **fields), CLASSIFIER) == ("id", ())


@given(
    st.binary(max_size=60),
    st.sampled_from([frames.DOOR_PLAIN, frames.DOOR_OIP, frames.DOOR_GRPC, frames.DOOR_TFS, frames.DOOR_CLASSIFY]),
    st.sampled_from([frames.CONTENT_JSON, frames.CONTENT_BINARY, frames.CONTENT_PROTO]),
    st.integers(0, 70),
)
def test_any_bytes_are_survived(body, door, content, json_size) -> None:
    assert isinstance(glimpse(captured(body, door=door, content=content, json_size=json_size), CLASSIFIER)[1], tuple)
