"""The Open Inference Protocol door: JSON, binary and mixed bodies, and what it says to bad ones."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferry.errors import InferryError, InvalidInput, ModelFailed
from inferry.interfaces.codec import Call
from inferry.protocols import tensors
from inferry.protocols.numbers import LONG
from inferry.protocols.oip import OipCodec
from inferry.replica.calls import own, split
from inferry.types.frames import CONTENT_JSON
from inferry.types.signature import DATATYPES, Signature
from tests.support.protocol_cases import (
    CLASS_ANSWER,
    FIXED,
    IRIS,
    OPEN,
    PEOPLE,
    SIMDJSON,
    TWO,
    read,
    read_binary,
    request,
    spec,
)


def tensor(name: str = "x", datatype: str = "FP32", shape: Any = (1, 4), **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), **more}


def iris(**more: Any) -> dict[str, Any]:
    return {"inputs": [tensor(data=[5.1, 3.5, 1.4, 0.2])], **more}


def binary(head: dict[str, Any], raw: bytes) -> Any:
    data = json.dumps(head).encode()
    return request(data + raw, json_size=len(data))


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6, 7, 8.5], [[1, 2, 3, 4], [5, 6, 7, 8.5]]])
def test_flat_and_nested_data_are_the_same(data: list[Any]) -> None:
    call = OipCodec(IRIS).decode(request({"id": "42", "inputs": [tensor(shape=(2, 4), data=data)]}))
    assert (call.rows, call.id, call.name, call.version) == (2, "42", "fraud", "3")
    assert call.inputs["x"].dtype == np.float32
    assert call.inputs["x"].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8.5]]


def test_the_answer_names_model_version_id_and_outputs() -> None:
    codec = OipCodec(IRIS)
    encoded = codec.encode(codec.decode(request(iris(id="a"))), CLASS_ANSWER)
    assert encoded.content == CONTENT_JSON
    assert read(encoded) == {
        "model_name": "fraud",
        "model_version": "3",
        "id": "a",
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["no", "yes"]},
            {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": [0.75, 0.25, 0.5, 0.5]},
        ],
    }


def test_each_output_is_written_as_it_was_asked_for() -> None:
    codec = OipCodec(IRIS)
    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "label"}]
    head, raw = read_binary(codec.encode(codec.decode(request(iris(outputs=wanted))), CLASS_ANSWER))
    assert [output["name"] for output in head["outputs"]] == ["probabilities", "label"]
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert head["outputs"][1]["data"] == ["no", "yes"]
    assert raw == CLASS_ANSWER["probabilities"].tobytes()


def test_binary_for_all_with_one_exception() -> None:
    codec = OipCodec(IRIS)
    body = iris(
        parameters={"binary_data_output": True},
        outputs=[{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": False}}],
    )
    head, raw = read_binary(codec.encode(codec.decode(request(body)), CLASS_ANSWER))
    assert raw == b"\x02\x00\x00\x00no\x03\x00\x00\x00yes"
    assert head["outputs"][1]["data"] == [0.75, 0.25, 0.5, 0.5]


def test_binary_and_json_inputs_mix() -> None:
    vector = np.arange(6, dtype=np.float32).reshape(2, 3)
    head = {
        "inputs": [
            tensor("vector", shape=(2, 3), parameters={"binary_data_size": 24}),
            tensor("text", "BYTES", (2,), data=["a", "é"]),
        ]
    }
    call = OipCodec(TWO).decode(binary(head, vector.tobytes()))
    assert call.inputs["text"].tolist() == ["a", "é"]
    np.testing.assert_array_equal(call.inputs["vector"], vector)


def test_a_table_takes_columns_with_and_without_a_second_dimension() -> None:
    inputs = [
        tensor("age", "INT32", (2, 1), data=[[41], [42]]),
        tensor("job", "BYTES", (2,), data=["clerk", "baker"]),
        tensor("visits", "INT32", (2,), data=[1, 2]),
        tensor("member", "BOOL", (2,), data=[True, False]),
        tensor("income", "FP32", (2,), data=[None, 1.5]),
        tensor("note", "BYTES", (2, 1), data=[None, "x"]),
    ]
    call = OipCodec(PEOPLE).decode(request({"inputs": inputs}))
    assert call.rows == 2
    assert {name: array.shape for name, array in call.inputs.items()} == dict.fromkeys(call.inputs, (2,))
    assert call.inputs["age"].dtype == np.float64
    assert call.inputs["visits"].dtype == np.int64
    assert np.isnan(call.inputs["income"][0])
    assert call.inputs["note"].tolist() == [None, "x"]


def test_nan_is_written_as_null_in_json_and_exactly_in_binary() -> None:
    codec = OipCodec(IRIS)
    answer = {"label": np.array(["a"]), "probabilities": np.array([[np.nan, np.inf]], np.float32)}
    call = codec.decode(request(iris()))
    assert read(codec.encode(call, answer))["outputs"][1]["data"] == [None, None]
    call.binary = True
    _, raw = read_binary(codec.encode(call, answer))
    np.testing.assert_array_equal(np.frombuffer(raw[-8:], np.float32), [np.nan, np.inf])


def test_bytes_that_are_no_text_go_as_base64_and_come_back() -> None:
    signature = Signature(kind="tensors", inputs=(spec("b", "BYTES"),), outputs=(spec("b", "BYTES"),))
    codec = OipCodec(signature)
    sent = read(codec.encode(Call(inputs={}, rows=2), {"b": np.array([b"\xff\x00", "a"], dtype=object)}))["outputs"]
    assert sent[0]["parameters"] == {"content_type": "base64"}
    assert sent[0]["data"] == [base64.b64encode(b"\xff\x00").decode(), "YQ=="]
    assert codec.decode(request({"inputs": sent})).inputs["b"].tolist() == [b"\xff\x00", "a"]


def numbers(datatype: str) -> st.SearchStrategy[np.ndarray]:
    dtype = tensors.DTYPES[datatype]
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None
    return hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3), elements=finite)


@given(st.data(), st.sampled_from(DATATYPES), st.booleans())
def test_every_datatype_survives_the_wire(data: st.DataObject, datatype: str, as_binary: bool) -> None:
    if datatype == "BYTES":
        array = tensors.objects(data.draw(st.lists(st.text(), min_size=1, max_size=4)))
    else:
        array = data.draw(numbers(datatype))
    if datatype == "BF16":
        array = tensors.widen_bf16(tensors.round_bf16(array)).reshape(array.shape)
        array[~np.isfinite(array)] = 0
    shape = (-1,) * array.ndim
    both = (spec("t", datatype, shape),)
    codec = OipCodec(Signature(kind="tensors", inputs=both, outputs=both))
    encoded = codec.encode(Call(inputs={}, rows=1, binary=as_binary), {"t": array})
    size = encoded.json_size or len(encoded.body)
    head = json.loads(encoded.body[:size])
    assert head["outputs"][0]["datatype"] == datatype
    body = json.dumps({"inputs": head["outputs"]}).encode()
    call = codec.decode(request(body + encoded.body[size:], json_size=len(body) if as_binary else 0))
    np.testing.assert_array_equal(call.inputs["t"], array)
    assert call.inputs["t"].dtype == array.dtype


OPEN_ANSWERS: list[tuple[Any, list[dict[str, Any]]]] = [
    ({"y": np.array([1.5])}, [{"name": "y", "datatype": "FP64", "shape": [1], "data": [1.5]}]),
    ([1, 2], [{"name": "output", "datatype": "INT64", "shape": [2], "data": [1, 2]}]),
    ("hello\x00", [{"name": "output", "datatype": "BYTES", "shape": [1], "data": ["hello\x00"]}]),
    (["a", "b"], [{"name": "output", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]}]),
    (True, [{"name": "output", "datatype": "BOOL", "shape": [1], "data": [True]}]),
    (None, [{"name": "output", "datatype": "BYTES", "shape": [1], "data": ["null"]}]),
    ({"a": {"b": [1, None]}}, [{"name": "a", "datatype": "BYTES", "shape": [1], "data": ['{"b":[1,null]}']}]),
    ([[1], [2, 3]], [{"name": "output", "datatype": "BYTES", "shape": [1], "data": ["[[1],[2,3]]"]}]),
]


@pytest.mark.parametrize(("answer", "outputs"), OPEN_ANSWERS)
def test_an_open_models_answer_becomes_tensors(answer: Any, outputs: list[dict[str, Any]]) -> None:
    assert read(OipCodec(OPEN).encode(Call(inputs=None, rows=0), answer))["outputs"] == outputs


def test_an_open_model_takes_any_tensors() -> None:
    call = OipCodec(OPEN).decode(
        request({"inputs": [tensor("q", "BYTES", (1,), data=["hi"]), tensor(data=[1, 2, 3, 4])]})
    )
    assert call.rows == 0
    assert call.inputs["q"].tolist() == ["hi"]
    assert call.inputs["x"].shape == (1, 4)


def test_an_unknown_output_of_an_open_model_is_refused_when_it_answers() -> None:
    codec = OipCodec(OPEN)
    call = codec.decode(request({"inputs": [], "outputs": [{"name": "zz"}]}))
    with pytest.raises(InvalidInput, match="no output 'zz'"):
        codec.encode(call, {"y": [1]})


@pytest.mark.parametrize("answer", [{"y": 1}, {"label": np.zeros(1, complex), "probabilities": np.zeros((1, 2))}])
def test_a_wrong_answer_is_the_models_fault(answer: Any) -> None:
    codec = OipCodec(IRIS)
    with pytest.raises(ModelFailed):
        codec.encode(codec.decode(request(iris(outputs=[{"name": "label"}]))), answer)


GOOD = [5.1, 3.5, 1.4, 0.2]
BAD: list[tuple[str, Any, str]] = [
    ("empty body", b"", "empty"),
    ("blank body", b"  \n", "empty"),
    ("not JSON", b"{'inputs'", "not valid JSON"),
    ("trailing text", b'{"inputs": []} x', "not valid JSON"),
    ("not UTF-8", b'{"inputs": [{"name": "\xff"}]}', "not UTF-8"),
    ("deep nesting", b'{"inputs": [{"name": "x", "data": ' + b"[" * 200_000, "nested too deeply"),
    ("NaN", json.dumps({"inputs": [tensor(data=[float("nan"), 1, 2, 3])]}).encode(), "NaN at byte"),
    ("Infinity", json.dumps({"inputs": [tensor(data=[1, float("inf"), 2, 3])]}).encode(), "Infinity at byte"),
    ("minus Infinity", json.dumps({"inputs": [tensor(data=[1, float("-inf"), 2, 3])]}).encode(), "-Infinity at byte"),
    ("a list", [1, 2], "Expected `object`, got `array`"),
    ("no inputs", {}, "missing required field `inputs`"),
    ("no name", {"inputs": [{"datatype": "FP32", "shape": [1]}]}, "missing required field `name`"),
    ("shape of text", {"inputs": [tensor(shape="ab", data=GOOD)]}, "Expected `int`, got `str`"),
    ("fractional shape", {"inputs": [tensor(shape=(1.5, 4), data=GOOD)]}, "Expected `int`, got `float`"),
    ("missing input", {"inputs": []}, "Missing input: 'x'"),
    ("unknown input", {"inputs": [tensor("y", data=GOOD)]}, "no input 'y'"),
    ("twice", {"inputs": [tensor(data=GOOD), tensor(data=GOOD)]}, "given twice"),
    ("unknown datatype", {"inputs": [tensor(datatype="FLOAT", data=GOOD)]}, "unknown datatype 'FLOAT'"),
    ("wrong datatype", {"inputs": [tensor(datatype="FP64", data=GOOD)]}, "datatype FP64, but the model takes FP32"),
    ("text for number", {"inputs": [tensor(data=[1, "2", 3, 4])]}, "Row 1, input 'x', position \\[2\\]: .* got '2'"),
    ("bool for number", {"inputs": [tensor(data=[1, True, 3, 4])]}, "expected a number, got true"),
    ("null", {"inputs": [tensor(data=[1, None, 3, 4])]}, "null came"),
    ("out of range", {"inputs": [tensor(data=[1, 1e39, 3, 4])]}, "1e\\+39 is out of the range of FP32"),
    ("fraction for integer", {"inputs": [tensor(datatype="INT8", data=[1.5, 2, 3, 4])]}, "whole number, got 1.5"),
    ("integer out of range", {"inputs": [tensor(datatype="INT8", data=[300, 2, 3, 4])]}, "300 is out of the range"),
    ("negative unsigned", {"inputs": [tensor(datatype="UINT8", data=[-1, 2, 3, 4])]}, "-1 is out of the range"),
    ("wrong rank", {"inputs": [tensor(shape=(4,), data=GOOD)]}, "shape \\[4\\], but the model takes \\[-1, 4\\]"),
    ("wrong size", {"inputs": [tensor(shape=(1, 3), data=[1, 2, 3])]}, "shape \\[1, 3\\], but the model takes"),
    ("too few values", {"inputs": [tensor(shape=(2, 4), data=GOOD)]}, "which is 8 values, but has 4"),
    ("nested otherwise", {"inputs": [tensor(shape=(2, 2), data=[[1, 2, 3, 4]])]}, "expected 2 values, got 4"),
    ("nested rows differ", {"inputs": [tensor(shape=(2, 4), data=[GOOD])]}, "its data is \\[1, 4\\]"),
    ("ragged", {"inputs": [tensor(shape=(2, 4), data=[GOOD, [1, 2]])]}, "row 2: expected 4 values, got 2"),
    ("negative size", {"inputs": [tensor(shape=(-1, 4), data=GOOD)]}, "negative size"),
    ("overflowing shape", {"inputs": [tensor(shape=(2**32, 2**32), data=GOOD)]}, "too many elements"),
    ("no rows", {"inputs": [tensor(shape=(0, 4), data=[])]}, "no rows"),
    ("no data", {"inputs": [tensor()]}, "has no data"),
    ("unknown output", iris(outputs=[{"name": "labels"}]), "no output 'labels'. Did you mean 'label'\\?"),
    ("shared memory", iris(outputs=[{"name": "label", "parameters": {"shared_memory_region": "r"}}]), "Shared memory"),
    ("size but no bytes", {"inputs": [tensor(parameters={"binary_data_size": 16})]}, "only 0 bytes are left"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "says"), [(b, s) for _, b, s in BAD], ids=[name for name, _, _ in BAD])
def test_a_bad_body_is_told_what_is_wrong(body: Any, says: str) -> None:
    codec = OipCodec(IRIS)
    with pytest.raises(InvalidInput) as caught:
        codec.decode(request(body))
    sentence = json.loads(codec.refuse(caught.value))["error"]
    assert re.search(says, sentence)
    assert caught.value.help
    assert len(sentence) < 600
    assert codec.decode(request(iris())).rows == 1


RAW = np.arange(4, dtype=np.float32).tobytes()
BAD_BINARY: list[tuple[str, Any, bytes, str]] = [
    ("size too large", {"binary_data_size": 17}, RAW, "only 16 bytes are left"),
    ("size too small", {"binary_data_size": 12}, RAW, "takes 16"),
    ("bytes left over", {"binary_data_size": 16}, RAW + b"x", "1 bytes of binary data belong to no input"),
    ("negative size", {"binary_data_size": -1}, RAW, "is no size"),
    ("huge size", {"binary_data_size": 10**30}, RAW, "only 16 bytes are left"),
    ("size of text", {"binary_data_size": "16"}, RAW, "is no size"),
    ("size of true", {"binary_data_size": True}, RAW, "is no size"),
]


@pytest.mark.parametrize(("parameters", "raw", "says"), [c[1:] for c in BAD_BINARY], ids=[c[0] for c in BAD_BINARY])
def test_binary_sizes_must_add_up(parameters: Any, raw: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        OipCodec(IRIS).decode(binary({"inputs": [tensor(parameters=parameters)]}, raw))


def test_data_and_bytes_at_once_are_refused() -> None:
    head = {"inputs": [tensor(data=GOOD, parameters={"binary_data_size": 16})]}
    with pytest.raises(InvalidInput, match="both"):
        OipCodec(IRIS).decode(binary(head, RAW))


def test_a_json_size_past_the_body_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Inference-Header-Content-Length is 999"):
        OipCodec(IRIS).decode(request(iris(), json_size=999))


def people(**changed: Any) -> list[dict[str, Any]]:
    columns: dict[str, Any] = {
        "age": ("FP64", [41.0]), "job": ("BYTES", ["clerk"]), "visits": ("INT64", [1]), "member": ("BOOL", [True]),
        "income": ("FP64", [1.0]), "note": ("BYTES", ["x"]),
    }  # fmt: skip
    columns |= changed
    return [tensor(name, datatype, (len(data),), data=data) for name, (datatype, data) in columns.items()]


def test_columns_must_have_the_same_number_of_rows() -> None:
    with pytest.raises(InvalidInput, match="differ in their number of rows: 'age' has 2, 'job' has 1"):
        OipCodec(PEOPLE).decode(request({"inputs": people(age=("FP64", [1, 2]))}))


def test_an_unknown_category_is_refused_in_json_and_in_binary() -> None:
    with pytest.raises(InvalidInput, match="Row 1, input 'job': 'king' is not a known category"):
        OipCodec(PEOPLE).decode(request({"inputs": people(job=("BYTES", ["king"]))}))
    inputs = people()
    del inputs[1]["data"]
    inputs[1]["parameters"] = {"binary_data_size": 8}
    with pytest.raises(InvalidInput, match="'king' is not a known category"):
        OipCodec(PEOPLE).decode(binary({"inputs": inputs}, b"\x04\x00\x00\x00king"))


@pytest.mark.parametrize(("column", "refused"), [(0, True), (4, False)])
def test_a_binary_nan_is_a_missing_value_in_a_table(column: int, refused: bool) -> None:
    inputs = people()
    del inputs[column]["data"]
    inputs[column]["parameters"] = {"binary_data_size": 8}
    body = binary({"inputs": inputs}, np.array([np.nan]).tobytes())
    if refused:
        with pytest.raises(InvalidInput, match="Row 1, column 'age': NaN"):
            OipCodec(PEOPLE).decode(body)
    else:
        assert np.isnan(OipCodec(PEOPLE).decode(body).inputs["income"][0])


def test_fixed_shapes_have_no_countable_rows() -> None:
    inputs = [tensor("v", shape=(3,), data=[1, 2, 3]), tensor("k", "INT64", (), data=[7])]
    call = OipCodec(FIXED).decode(request({"inputs": inputs}))
    assert call.rows == 0
    assert call.inputs["k"].shape == ()


def test_refusals_are_in_the_protocols_form() -> None:
    assert json.loads(OipCodec(IRIS).refuse(InferryError("No.", help="Yes."))) == {"error": "No. Yes."}


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["", "a"])), min_size=2, max_size=5),
    st.booleans(),
    st.sampled_from(["plain", "text", "wide"]),
)
def test_calls_that_ran_together_are_answered_as_each_by_itself(
    asked: list[tuple[int, str]], as_binary: bool, kind: str
) -> None:
    codec, rows = OipCodec(TWO), sum(size for size, _ in asked)
    calls = [Call({}, size, id, "fraud", str(at % 2), binary=as_binary) for at, (size, id) in enumerate(asked)]
    numbers = np.arange(rows * 6, dtype=np.float32)
    y = {"plain": numbers[:rows].reshape(rows, 1), "text": np.array(["a"] * rows), "wide": numbers.reshape(rows, 3, 2)}
    outputs = {"y": y[kind], "z": numbers[: rows * 2].reshape(rows, 2) * 0.5}
    alone = [codec.encode(call, part) for call, part in zip(calls, split(outputs, calls), strict=True)]
    assert codec.encode_many(calls, outputs) == (None if kind == "text" else alone)
    calls[-1].wanted = (("z", as_binary),)
    assert codec.encode_many(calls, outputs) is None


def test_binary_outputs_without_a_row_for_each_of_the_calls_are_answered_as_they_are() -> None:
    codec, y = OipCodec(FIXED), np.array([1, 2, 3], np.float32)
    head, raw = read_binary(codec.encode(Call({}, 1, name="fraud", version="3", binary=True), {"y": y}))
    assert (head["outputs"][0]["shape"], raw) == ([3], y.tobytes())


@given(
    st.lists(st.sampled_from(["good", "nan", "short", "long", "json", "id"]), min_size=1, max_size=12),
    st.booleans(),
)
def test_a_structure_that_came_before_changes_nothing(kinds: list[str], output: bool) -> None:
    """A codec that has seen other requests decodes, answers and refuses each as a new one does."""
    used = OipCodec(IRIS)
    for number, kind in enumerate(kinds):
        data = np.arange(number, number + 8, dtype=np.float32).reshape(2, 4)
        raw = data.tobytes()
        head: dict[str, Any] = {"inputs": [tensor(shape=(2, 4), parameters={"binary_data_size": 32})]}
        head["parameters"] = {"binary_data_output": output}
        match kind:
            case "nan":
                raw = np.full((2, 4), np.nan, np.float32).tobytes()
            case "short":
                raw = raw[:-4]
            case "long":
                raw += b"1234"
            case "json":
                head["inputs"] = [tensor(shape=(2, 4), data=data.tolist())]
                raw = b""
            case "id":
                head["id"] = str(number)
        body = binary(head, raw)
        assert outcome(used, body) == outcome(OipCodec(IRIS), body)


SAID = [
    "", '"id":"a",', '"id":"b",', '"id" : "c",', '"id":"",', '"id":null,', '"id":"\\u0061",', '"id":"\u00e9",', '"id":"a\\"b",',
    '"i\\u0064":"a",', '"id":"a","id":"b",', '"id":"a","i\\u0064":"b",', '"i\\u0064":"a","id":"b",', '"id":7,', '"id":"a',
    '"parameters":{"id":"a"},', '"parameters":{"id":"b"},', '"parameters":{"id":"a"},"id":"b",',
    '"parameters":{"id":"a"},"i\\u0064":"a",', '"parameters":{"id":"b"},"i\\u0064":"a",', '"x":"\\"id\\":\\"a",', '"x":"id",',
]  # fmt: skip
LISTED = '{%s"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}'
BINARY = '{%s"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}]}'


def of(text: str, as_binary: bool) -> Any:
    if not as_binary:
        return request((LISTED % text).encode() + b" " * LONG)
    head = (BINARY % text).encode()
    return request(head + np.arange(4, dtype=np.float32).tobytes(), len(head))


@given(st.lists(st.sampled_from(SAID), min_size=2, max_size=8), st.booleans())
@example(['"parameters":{"id":"a"},"i\\u0064":"a",', '"parameters":{"id":"b"},"i\\u0064":"a",'], True)
@example(['"parameters":{"id":"a"},', '"parameters":{"id":"b"},'], True)
@example(['"id":"a","i\\u0064":"b",', '"id":"b","i\\u0064":"b",'], True)
def test_an_id_that_came_before_is_not_anothers(said: list[str], as_binary: bool) -> None:
    used = OipCodec(IRIS)
    for text in said:
        assert outcome(used, of(text, as_binary)) == outcome(OipCodec(IRIS), of(text, as_binary))


@pytest.mark.parametrize("as_binary", [True, pytest.param(False, marks=SIMDJSON)])
def test_requests_that_differ_in_their_ids_have_the_same_structure(
    as_binary: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = OipCodec(IRIS)
    codec.decode(of('"id":"first",', as_binary))
    monkeypatch.setattr(codec, "_parse", None)
    assert [codec.decode(of(f'"id":"{id}",', as_binary)).id for id in ("second", "", "3")] == ["second", "", "3"]


def outcome(codec: OipCodec, body: Any) -> Any:
    try:
        call = codec.decode(body)
    except InvalidInput as error:
        return error.sentence()
    numbers = {"label": np.array([1, 2]), "probabilities": call.inputs["x"]}
    array = own(call)["x"]
    assert array.flags.writeable
    return (
        array.tobytes(),
        array.shape,
        call.rows,
        call.id,
        codec.encode(call, CLASS_ANSWER),
        codec.encode(call, numbers),
    )


@pytest.mark.parametrize("column", [0, 2, 4])
def test_values_of_a_column_that_are_checked_are_checked_each_time(column: int) -> None:
    codec = OipCodec(PEOPLE)
    inputs = people(visits=("INT32", [1]), age=("FP64", [41.0]))
    size = 4 if column == 2 else 8
    del inputs[column]["data"]
    inputs[column]["parameters"] = {"binary_data_size": size}
    good = np.array([7], np.int32 if column == 2 else np.float64).tobytes()
    for _ in range(3):
        assert codec.decode(binary({"inputs": inputs}, good)).rows == 1
    if column == 0:
        with pytest.raises(InvalidInput, match="'age': NaN"):
            codec.decode(binary({"inputs": inputs}, np.array([np.nan]).tobytes()))
