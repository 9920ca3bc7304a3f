"""The Open Inference Protocol in Protocol Buffers, written and read by the protobuf library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferry.errors import InferryError, InvalidInput
from inferry.protocols import tensors
from inferry.protocols.grpc_oip import GrpcOipCodec
from inferry.replica.calls import own
from inferry.types.frames import CONTENT_PROTO
from inferry.types.protobuf import delimited, integer
from inferry.types.signature import DATATYPES, Signature
from tests.support.protocol_cases import CLASS_ANSWER, EVERY, FIXED, IRIS, OPEN, PEOPLE, TWO, request, spec
from tests.support.protos import message

Request, Response = message("inference.ModelInferRequest"), message("inference.ModelInferResponse")

X = np.array([[5.1, 3.5, 1.4, 0.2], [6, 2, 4, 1]], np.float32)
TYPED = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


def elements(array: np.ndarray) -> list[Any]:
    return [item.encode() if isinstance(item, str) else item for item in array.reshape(-1).tolist()]


def asked(*inputs: tuple[str, str, np.ndarray], raw: bool = True, outputs: tuple[str, ...] = (), **more: Any) -> Any:
    """A request of (name, datatype, array)."""
    made = Request(model_name="fraud", **more)
    for name, datatype, array in inputs:
        tensor = made.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if raw:
            made.raw_input_contents.append(tensors.write_raw(datatype, array))
        else:
            getattr(tensor.contents, TYPED[datatype]).extend(elements(array))
    for name in outputs:
        made.outputs.add(name=name)
    return made


def answer(codec: GrpcOipCodec, made: Any, outputs: Any) -> Any:
    encoded = codec.encode(codec.decode(request(made.SerializeToString())), outputs)
    assert encoded.content == CONTENT_PROTO
    return Response.FromString(encoded.body)


def values(response: Any, place: int) -> list[Any]:
    """An output's elements, however they came."""
    output = response.outputs[place]
    if response.raw_output_contents:
        raw = memoryview(response.raw_output_contents[place])
        return tensors.read_raw(output.datatype, list(output.shape), raw, "").reshape(-1).tolist()
    found = list(getattr(output.contents, TYPED[output.datatype]))
    return [item.decode() for item in found] if output.datatype == "BYTES" else found


@pytest.mark.parametrize("raw", [True, False])
def test_a_request_and_its_answer(raw: bool) -> None:
    codec = GrpcOipCodec(IRIS)
    for id in ("42", "", "another"):
        made = asked(("x", "FP32", X), raw=raw, id=id)
        call = codec.decode(request(made.SerializeToString()))
        assert (call.rows, call.id, call.name, call.version) == (2, id, "fraud", "3")
        assert np.array_equal(call.inputs["x"], X)
        assert own(call)["x"].flags.writeable
        response = answer(codec, made, CLASS_ANSWER)
        assert (response.model_name, response.model_version, response.id) == ("fraud", "3", id)
        shown = [(output.name, output.datatype, list(output.shape)) for output in response.outputs]
        assert shown == [("label", "BYTES", [2]), ("probabilities", "FP32", [2, 2])]
        assert (values(response, 0), values(response, 1)) == (["no", "yes"], [0.75, 0.25, 0.5, 0.5])
        assert bool(response.raw_output_contents) == raw, "the answer is in the form of the question"


def test_only_wanted_outputs_in_their_order() -> None:
    response = answer(GrpcOipCodec(IRIS), asked(("x", "FP32", X), outputs=("probabilities",)), CLASS_ANSWER)
    assert [output.name for output in response.outputs] == ["probabilities"]


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("raw", [True, False])
def test_every_datatype(datatype: str, raw: bool) -> None:
    both = (spec("t", datatype, (-1, 2)),)
    codec = GrpcOipCodec(Signature(kind="tensors", inputs=both, outputs=both))
    cells: Any = [["a", "bé"], ["", "\0"]] if datatype == "BYTES" else [[0, 1], [1, 0]]
    array = np.array(cells, dtype=tensors.DTYPES[datatype])
    if not raw and datatype in ("FP16", "BF16"):
        made = asked(raw=False)
        made.inputs.add(name="t", datatype=datatype, shape=[2, 2]).contents.fp32_contents.extend([0, 1, 1, 0])
        with pytest.raises(InvalidInput, match="no typed contents"):
            codec.decode(request(made.SerializeToString()))
        return
    for _ in range(2):
        made = asked(("t", datatype, array), raw=raw)
        assert np.array_equal(codec.decode(request(made.SerializeToString())).inputs["t"], array)
        response = answer(codec, made, {"t": array})
        assert values(response, 0) == array.reshape(-1).tolist()


NUMBERS = [name for name in DATATYPES if name not in ("BYTES", "BF16", "FP16")]


@given(st.data())
def test_any_numbers_raw_and_typed(data: Any) -> None:
    datatype = data.draw(st.sampled_from(NUMBERS))
    array = data.draw(
        hnp.arrays(tensors.DTYPES[datatype], hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    )
    codec = GrpcOipCodec(OPEN)
    for raw in (True, False, True):
        made = asked(("t", datatype, array), raw=raw)
        if not array.size and not raw:
            made.inputs[0].ClearField("contents")
        got = codec.decode(request(made.SerializeToString())).inputs["t"]
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)
        response = answer(codec, made, {"t": array if array.shape else array.reshape(1)})
        np.testing.assert_array_equal(np.array(values(response, 0), array.dtype), array.reshape(-1))


def test_typed_elements_one_by_one() -> None:
    """Writers of before proto3 do not pack."""
    contents = integer(3, 1) + integer(3, -2)
    tensor = delimited(1, b"x") + delimited(2, b"INT64") + integer(3, 2) + delimited(5, contents)
    call = GrpcOipCodec(OPEN).decode(request(delimited(1, b"fraud") + delimited(5, tensor)))
    assert call.inputs["x"].tolist() == [1, -2]


def test_what_is_wrong_with_one_request_is_not_remembered_for_the_next() -> None:
    codec = GrpcOipCodec(IRIS)
    good, short = asked(("x", "FP32", X)), asked(("x", "FP32", X))
    short.raw_input_contents[0] = b"\0" * 31
    for _ in range(2):
        assert codec.decode(request(good.SerializeToString())).rows == 2
        with pytest.raises(InvalidInput, match=r"has 31 bytes of data, but its shape \[2, 4\] of FP32 takes 32"):
            codec.decode(request(short.SerializeToString()))


def test_values_that_need_a_look_get_one_each_time() -> None:
    codec = GrpcOipCodec(PEOPLE)

    def person(job: str, age: float) -> Any:
        return asked(
            ("age", "FP64", np.array([age])), ("job", "BYTES", np.array([job], object)), ("visits", "INT64", np.array([3])),
            ("member", "BOOL", np.array([True])), ("income", "FP64", np.array([np.nan])),
            ("note", "BYTES", np.array(["hi"], object)),
        )  # fmt: skip

    for _ in range(2):
        assert codec.decode(request(person("clerk", 41).SerializeToString())).inputs["job"].tolist() == ["clerk"]
        with pytest.raises(InvalidInput, match="'pilot' is not a known category"):
            codec.decode(request(person("pilot", 41).SerializeToString()))
        with pytest.raises(InvalidInput, match="NaN came"):
            codec.decode(request(person("clerk", np.nan).SerializeToString()))


def broken(**change: Any) -> Any:
    made = asked(("x", "FP32", X))
    for name, value in change.items():
        setattr(made.inputs[0], name, value)
    return made


def with_both() -> Any:
    made = asked(("x", "FP32", X))
    made.inputs[0].contents.fp32_contents.extend([0] * 8)
    return made


def with_parameter(key: str, output: bool = False) -> Any:
    made = asked(("x", "FP32", X), outputs=("label",))
    (made.outputs if output else made.inputs)[0].parameters[key].string_param = "r"
    return made


def with_contents(field: str, cells: list[Any], datatype: str = "FP32", shape: tuple[int, ...] = (1, 4)) -> Any:
    made = Request(model_name="m")
    tensor = made.inputs.add(name="x", datatype=datatype, shape=shape)
    getattr(tensor.contents, field).extend(cells)
    return made


WRONG = {
    "no inputs": (Request(), "Missing input: 'x'"),
    "another name": (broken(name="y"), "There is no input 'y'"),
    "an unknown datatype": (broken(datatype="FP31"), "unknown datatype 'FP31'"),
    "another datatype": (asked(("x", "FP64", X.astype(np.float64))), "datatype FP64, but the model takes FP32"),
    "another shape": (asked(("x", "FP32", X[:, :3])), r"shape \[2, 3\]"),
    "no rows": (asked(("x", "FP32", X[:0])), "no rows"),
    "twice the input": (asked(("x", "FP32", X), ("x", "FP32", X)), "given twice"),
    "a raw tensor too many": (Request(raw_input_contents=[b"1234"]), "0 inputs, but 1 raw_input_contents"),
    "both forms": (with_both(), "both contents and raw contents"),
    "shared memory in": (with_parameter("shared_memory_region"), "shared_memory_region"),
    "shared memory out": (with_parameter("shared_memory_region", output=True), "shared_memory_region"),
    "classification": (with_parameter("classification", output=True), "classification"),
    "an unknown output": (asked(("x", "FP32", X), outputs=("lable",)), "no output 'lable'"),
    "the wrong field": (with_contents("fp64_contents", [1, 2, 3, 4]), "came in fp64_contents"),
    "too few elements": (with_contents("fp32_contents", [1, 2, 3]), "which is 4 values, but has 3"),
    "no elements": (with_contents("fp32_contents", []), "which is 4 values, but has 0"),
    "an element out of range": (with_contents("int_contents", [1, 2, 3, 300], "INT8"), "out of the range of INT8"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests_are_told_what_is_wrong(name: str) -> None:
    made, says = WRONG[name]
    with pytest.raises(InvalidInput, match=says):
        GrpcOipCodec(IRIS).decode(request(made.SerializeToString()))


@pytest.mark.parametrize(
    "data",
    [b"\x0a", b"\x0a\x05ab", b"\xff\xff\xff", b"\x0a\x01a\x0a\x01b", b"\x12\x011\x12\x012", b"\x2a\x03\x0a\x05x", b"\x07", b"\x3a\xff\xff\xff\xff\x7f"],
)  # fmt: skip
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="not a valid ModelInferRequest"):
        GrpcOipCodec(IRIS).decode(request(data))


def test_fields_may_come_in_any_order() -> None:
    made = asked(("text", "BYTES", np.array(["a", "b"], object)), ("vector", "FP32", X[:, :3]), id="7")
    pieces = [
        Request(raw_input_contents=made.raw_input_contents), Request(inputs=made.inputs), Request(id="7"),
        Request(model_name="fraud"),
    ]  # fmt: skip
    call = GrpcOipCodec(TWO).decode(request(b"".join(piece.SerializeToString() for piece in pieces)))
    assert (call.id, call.rows, call.inputs["text"].tolist()) == ("7", 2, ["a", "b"])


def test_an_input_without_dimensions() -> None:
    made = asked(("v", "FP32", np.zeros(3, np.float32)), ("k", "INT64", np.array(5)))
    call = GrpcOipCodec(FIXED).decode(request(made.SerializeToString()))
    assert call.inputs["k"].shape == ()
    assert int(call.inputs["k"]) == 5


def test_a_refusal_is_a_status() -> None:
    codec = GrpcOipCodec(IRIS)
    body = codec.refuse(InvalidInput("No.", help="Yes."))
    assert body == b"\x08\x03\x12\x08No. Yes."


PIECES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([piece.SerializeToString() for piece, _ in WRONG.values()]),
    st.builds(
        lambda name, datatype, shape, raw: Request(
            inputs=[{"name": name, "datatype": datatype, "shape": shape}], raw_input_contents=raw
        ).SerializeToString(),
        st.sampled_from(["x", "age", "text", "vector", "v", "k"]),
        st.sampled_from(DATATYPES),
        st.lists(st.integers(-2, 4) | st.integers(-(2**63), 2**63 - 1), max_size=3),
        st.lists(st.binary(max_size=40), max_size=2),
    ),
)


@given(pieces=st.lists(PIECES, max_size=3), name=st.sampled_from(sorted(EVERY)))
def test_any_bytes_are_decoded_or_refused(pieces: list[bytes], name: str) -> None:
    codec = GrpcOipCodec(EVERY[name])
    try:
        call = codec.decode(request(b"".join(pieces)))
        codec.encode(call, call.inputs)
    except InferryError as error:
        assert codec.refuse(error)
