"""TensorFlow Serving's Predict in Protocol Buffers, written and read by other people's code."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferry.errors import InferryError, InvalidInput
from inferry.protocols import tensors
from inferry.protocols.tfs_grpc import TYPES, VALUES, TfsGrpcCodec
from inferry.types.signature import DATATYPES, Signature
from tests.support.protocol_cases import CLASS_ANSWER, EVERY, IRIS, OPEN, PEOPLE, TWO, request, spec
from tests.support.protos import message

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ovmsclient.tfs_compat.grpc.tensors import make_ndarray, make_tensor_proto
    from ovmsclient.tfs_compat.protos.tensorflow_serving.apis import predict_pb2

Request, Response = message("tensorflow.serving.PredictRequest"), message("tensorflow.serving.PredictResponse")
X = np.array([[5.1, 3.5, 1.4, 0.2], [6, 2, 4, 1]], np.float32)
FIELDS = {number: field.name for number, field in message("tensorflow.TensorProto").DESCRIPTOR.fields_by_number.items()}


def theirs(**inputs: Any) -> Any:
    made = predict_pb2.PredictRequest()
    made.model_spec.name = "fraud"
    for name, array in inputs.items():
        made.inputs[name].CopyFrom(make_tensor_proto(array))
    return made


def typed(name: str, datatype: str, shape: tuple[int, ...], cells: list[Any]) -> Any:
    made = Request()
    tensor = made.inputs[name]
    tensor.dtype = TYPES[datatype]
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, FIELDS[VALUES[datatype]]).extend(cells)
    return made


def decode(codec: TfsGrpcCodec, made: Any) -> Any:
    return codec.decode(request(made.SerializeToString()))


def test_a_request_and_its_answer_by_the_client() -> None:
    codec = TfsGrpcCodec(IRIS)
    call = decode(codec, theirs(x=X))
    assert (call.rows, call.name, call.version) == (2, "fraud", "3")
    assert np.array_equal(call.inputs["x"], X)
    response = predict_pb2.PredictResponse.FromString(codec.encode(call, CLASS_ANSWER).body)
    assert make_ndarray(response.outputs["label"]).tolist() == [b"no", b"yes"]
    assert make_ndarray(response.outputs["probabilities"]).tolist() == [[0.75, 0.25], [0.5, 0.5]]
    spec_ = response.model_spec
    assert (spec_.name, spec_.version.value, spec_.signature_name) == ("fraud", 3, "serving_default")


def test_the_output_filter() -> None:
    made = theirs(x=X)
    made.output_filter.append("label")
    codec = TfsGrpcCodec(IRIS)
    response = Response.FromString(codec.encode(decode(codec, made), CLASS_ANSWER).body)
    assert list(response.outputs) == ["label"]


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_both_ways(datatype: str) -> None:
    both = (spec("t", datatype, (-1, 2)),)
    codec = TfsGrpcCodec(Signature(kind="tensors", inputs=both, outputs=both))
    cells: Any = [["a", "bé"], ["", "\0"]] if datatype == "BYTES" else [[0, 1], [1, 0]]
    array = np.array(cells, dtype=tensors.DTYPES[datatype])
    flat: list[Any] = array.reshape(-1).tolist()
    if datatype == "BYTES":
        flat = [item.encode() for item in flat]
    elif datatype in ("FP16", "BF16"):
        flat = np.frombuffer(tensors.write_raw(datatype, array), "<u2").tolist()
    call = decode(codec, typed("t", datatype, (2, 2), flat))
    assert np.array_equal(call.inputs["t"], array)
    written = Response.FromString(codec.encode(call, {"t": array}).body).outputs["t"]
    again = Request(inputs={"t": written})
    assert np.array_equal(decode(codec, again).inputs["t"], array)


@given(st.data())
def test_any_numbers_as_the_client_writes_them(data: Any) -> None:
    datatype = data.draw(
        st.sampled_from(["FP32", "FP64", "INT32", "INT64", "INT8", "UINT8", "INT16", "UINT16", "BOOL"])
    )
    array = data.draw(hnp.arrays(tensors.DTYPES[datatype], hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)))
    codec = TfsGrpcCodec(OPEN)
    call = decode(codec, theirs(t=array))
    assert call.inputs["t"].dtype == array.dtype
    np.testing.assert_array_equal(call.inputs["t"], array)
    response = predict_pb2.PredictResponse.FromString(codec.encode(call, call.inputs).body)
    np.testing.assert_array_equal(make_ndarray(response.outputs["t"]), array)


def test_the_last_value_fills_the_shape() -> None:
    codec = TfsGrpcCodec(OPEN)
    assert decode(codec, typed("x", "FP32", (2, 2), [1, 2])).inputs["x"].tolist() == [[1, 2], [2, 2]]
    assert decode(codec, typed("x", "INT64", (3,), [])).inputs["x"].tolist() == [0, 0, 0]
    assert decode(codec, typed("x", "BYTES", (2,), [b"a"])).inputs["x"].tolist() == ["a", "a"]


def with_signature(name: str) -> Any:
    made = theirs(x=X)
    made.model_spec.signature_name = name
    return made


def changed(**change: Any) -> Any:
    made = Request.FromString(theirs(x=X).SerializeToString())
    for name, value in change.items():
        setattr(made.inputs["x"], name, value)
    return made


def unknown_rank() -> Any:
    made = changed()
    made.inputs["x"].tensor_shape.unknown_rank = True
    return made


def unknown_output() -> Any:
    made = theirs(x=X)
    made.output_filter.append("lable")
    return made


WRONG = {
    "no inputs": (theirs(), "Missing input: 'x'"),
    "another name": (theirs(y=X), "There is no input 'y'"),
    "another shape": (theirs(x=X[:, :3]), r"shape \[2, 3\]"),
    "another dtype": (theirs(x=X.astype(np.float64)), "datatype FP64, but the model takes FP32"),
    "a dtype that is not read": (changed(dtype=0), "dtype 0"),
    "a shape that is not told": (unknown_rank(), "has no shape"),
    "raw bytes that do not fit": (changed(tensor_content=b"123"), "has 3 bytes of data"),
    "text as raw bytes": (changed(dtype=7, tensor_content=b"abc"), "has text in tensor_content"),
    "too many values": (typed("x", "FP32", (1,), [1, 2]), r"has 2 values, but its shape \[1\] takes 1"),
    "a bomb": (typed("x", "FP32", (1 << 28,), [1]), "has 1 values, but its shape takes 268435456"),
    "a negative size": (typed("x", "FP32", (-1,), [1]), "negative size"),
    "another signature": (with_signature("other"), "not found in signature def"),
    "an unknown output": (unknown_output(), "no output 'lable'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests_are_told_what_is_wrong(name: str) -> None:
    made, says = WRONG[name]
    with pytest.raises(InvalidInput, match=says):
        decode(TfsGrpcCodec(IRIS), made)


def test_columns_of_a_table() -> None:
    columns = {"age": [41.0], "visits": [3], "member": [True], "income": [np.nan]}
    made = theirs(**{name: np.array(cells) for name, cells in columns.items()})
    for name, cell in {"job": b"clerk", "note": b"hi"}.items():
        made.inputs[name].CopyFrom(make_tensor_proto(np.array([cell])))
    assert decode(TfsGrpcCodec(PEOPLE), made).inputs["job"].tolist() == ["clerk"]


PIECES = st.binary(max_size=40) | st.sampled_from([made.SerializeToString() for made, _ in WRONG.values()])


@given(pieces=st.lists(PIECES, max_size=3), name=st.sampled_from(sorted(EVERY)))
def test_any_bytes_are_decoded_or_refused(pieces: list[bytes], name: str) -> None:
    codec = TfsGrpcCodec(EVERY[name])
    try:
        call = codec.decode(request(b"".join(pieces)))
        codec.encode(call, call.inputs)
    except InferryError as error:
        assert codec.refuse(error)


def test_several_inputs() -> None:
    made = theirs(vector=X[:, :3])
    made.inputs["text"].CopyFrom(make_tensor_proto(np.array([b"a", b"b"])))
    assert decode(TfsGrpcCodec(TWO), made).inputs["text"].tolist() == ["a", "b"]
