"""TensorFlow Serving's REST: row and column form, classify and regress, and what is wrong named."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput, ModelFailed
from inferry.interfaces.codec import Call
from inferry.protocols.mlflow import MlflowCodec
from inferry.protocols.tfs import PredictCodec
from inferry.protocols.tfs_examples import CLASSIFY, REGRESS, ExamplesCodec
from inferry.replica.calls import split
from inferry.types.signature import Signature
from tests.support.protocol_cases import (
    CLASS_ANSWER,
    COLUMNS_2D,
    FIXED,
    IMAGE,
    IRIS,
    ONE_COLUMN,
    OPEN,
    PEOPLE,
    PERSON,
    TWO,
    read,
    request,
    spec,
)

ROW = list(PERSON.values())
X1, X2 = [5.0, 3.0, 1.0, 0.5], [6, 2, 4, 1]
TEXT = Signature(kind="tensors", inputs=(spec("text", "BYTES"),), outputs=(spec("y"),), batchable=True)

ROWS: list[tuple[str, Signature, Any, dict[str, Any]]] = [
    ("values of a matrix", IRIS, [X1, X2], {"x": [X1, X2]}),
    ("named values of a matrix", IRIS, [{"x": X1}, {"x": X2}], {"x": [X1, X2]}),
    ("records", PEOPLE, [PERSON, {**PERSON, "age": 42}], {"age": [41.0, 42.0], "job": ["clerk", "clerk"]}),
    ("rows in the signature's order", PEOPLE, [ROW], {"age": [41.0], "member": [True]}),
    ("one column", ONE_COLUMN, [1, 2.5], {"age": [1.0, 2.5]}),
    ("one column, rows of one", ONE_COLUMN, [[1], [2.5]], {"age": [1.0, 2.5]}),
    ("one column by name", ONE_COLUMN, [{"age": 1}], {"age": [1.0]}),
    ("text", TEXT, ["a", "é"], {"text": ["a", "é"]}),
    ("bytes", TEXT, [{"b64": "YQ=="}, {"b64": "/wA="}], {"text": ["a", b"\xff\x00"]}),
    ("two inputs", TWO, [{"text": "a", "vector": [1, 2, 3]}], {"text": ["a"], "vector": [[1.0, 2.0, 3.0]]}),
    ("bytes by name", TWO, [{"text": {"b64": "YQ=="}, "vector": [1, 2, 3]}], {"text": ["a"]}),
    ("[-1, 1] columns, values", COLUMNS_2D, [{"age": 1, "job": "x"}], {"age": [[1.0]], "job": [["x"]]}),
    ("[-1, 1] columns, lists", COLUMNS_2D, [{"age": [1], "job": ["x"]}], {"age": [[1.0]], "job": [["x"]]}),
    ("a batch of exactly one", IMAGE, [[[1, 2], [3, 4]]], {"image": [[[1, 2], [3, 4]]]}),
    ("no rows at all", FIXED, [{"v": [1, 2, 3], "k": 7}], {"v": [1.0, 2.0, 3.0], "k": 7}),
]
COLUMNS: list[tuple[str, Signature, Any, dict[str, Any]]] = [
    ("a matrix", IRIS, [X1, X2], {"x": [X1, X2]}),
    ("a named matrix", IRIS, {"x": [X1, X2]}, {"x": [X1, X2]}),
    ("columns", PEOPLE, {name: [value] * 2 for name, value in PERSON.items()}, {"age": [41.0] * 2, "visits": [3] * 2}),
    ("one column", ONE_COLUMN, [1, 2.5], {"age": [1.0, 2.5]}),
    ("bytes", TEXT, [{"b64": "YQ=="}], {"text": ["a"]}),
    ("two inputs", TWO, {"text": ["a"], "vector": [[1, 2, 3]]}, {"text": ["a"], "vector": [[1.0, 2.0, 3.0]]}),
    ("fixed shapes", FIXED, {"v": [1, 2, 3], "k": 7}, {"v": [1.0, 2.0, 3.0], "k": 7}),
]
CASES = [("instances", *case) for case in ROWS] + [("inputs", *case) for case in COLUMNS]


@pytest.mark.parametrize(
    ("key", "signature", "value", "inputs"), [(c[0], *c[2:]) for c in CASES], ids=[f"{c[0]}: {c[1]}" for c in CASES]
)
@pytest.mark.parametrize("name", [None, "", "serving_default"])
def test_both_forms_give_the_arrays(
    key: str, signature: Signature, value: Any, inputs: dict[str, Any], name: str | None
) -> None:
    call = PredictCodec(signature).decode(request({key: value, "signature_name": name, "parameters": {}}))
    for given_name, values in inputs.items():
        assert call.inputs[given_name].tolist() == values
    first = next(iter(inputs.values()))
    assert call.rows == (0 if signature is FIXED else len(first))


@pytest.mark.parametrize("value", [["hi"], [], [{"a": 1}, 2], [{"b64": "AA=="}]])
def test_an_open_model_gets_what_is_under_the_key(value: Any) -> None:
    for key, answered in (("instances", "predictions"), ("inputs", "outputs")):
        codec = PredictCodec(OPEN)
        call = codec.decode(request({key: value}))
        assert call.inputs == value
        assert read(codec.encode(call, {"said": call.inputs})) == {answered: {"said": value}}


def test_nan_and_infinities_come_in_and_go_out_as_tokens() -> None:
    codec = PredictCodec(TWO)
    body = b'{"instances": [{"text": "NaN \\"Infinity", "vector": [NaN, Infinity, -Infinity]}]}'
    call = codec.decode(request(body))
    assert str(call.inputs["vector"].tolist()) == "[[nan, inf, -inf]]"
    assert call.inputs["text"].tolist() == ['NaN "Infinity']
    answer = {"y": np.array([[math.nan]]), "z": np.array([[math.inf, -math.inf]])}
    assert codec.encode(call, answer).body == b'{"predictions":[{"y":[NaN],"z":[Infinity,-Infinity]}]}'


def test_nan_in_a_column_is_a_missing_value() -> None:
    body = b'{"instances": [{"age": 1, "job": "clerk", "visits": 1, "member": true, "income": NaN, "note": NaN}]}'
    call = PredictCodec(PEOPLE).decode(request(body))
    assert math.isnan(call.inputs["income"][0])
    assert call.inputs["note"].tolist() == [None]
    with pytest.raises(InvalidInput, match=r"Row 1, column 'age'.*no missing values"):
        PredictCodec(PEOPLE).decode(request(body.replace(b'"age": 1', b'"age": NaN')))


def answered(signature: Signature, form: str, outputs: dict[str, Any], rows: int = 2) -> Any:
    codec = PredictCodec(signature)
    bodies = {
        IRIS: {"instances": [X1] * rows, "inputs": [X1] * rows},
        FIXED: {"instances": [{"v": [1, 2, 3], "k": 7}], "inputs": {"v": [1, 2, 3], "k": 7}},
    }
    call = codec.decode(request({form: bodies[signature][form]}))
    return read(codec.encode(call, outputs))


@pytest.mark.parametrize(
    ("signature", "outputs", "predictions", "columns"),
    [
        (IRIS, {"y": np.array([1.5, 2.0])}, [1.5, 2.0], [1.5, 2.0]),
        (IRIS, {"y": np.array([[1], [2]])}, [[1], [2]], [[1], [2]]),
        (
            IRIS,
            CLASS_ANSWER,
            [{"label": "no", "probabilities": [0.75, 0.25]}, {"label": "yes", "probabilities": [0.5, 0.5]}],
            {"label": ["no", "yes"], "probabilities": [[0.75, 0.25], [0.5, 0.5]]},
        ),
        (FIXED, {"y": np.array([1.0, 2.0])}, [[1.0, 2.0]], [1.0, 2.0]),
        (IRIS, {"raw": np.array([b"\xff", "a"], object)}, [{"b64": "/w=="}, "a"], [{"b64": "/w=="}, "a"]),
        (IRIS, {"x_bytes": np.array(["a", b"b"], object)}, [{"b64": "YQ=="}, {"b64": "Yg=="}], ...),
        (IRIS, {"x_bytes": np.array([["a"], ["b"]])}, [[{"b64": "YQ=="}], [{"b64": "Yg=="}]], ...),
        (IRIS, {"n_bytes": np.array([1, 2])}, [1, 2], [1, 2]),
        (IRIS, {"none": np.array([None, "null"], object)}, [None, "null"], [None, "null"]),
    ],
)
def test_answers_have_the_form_that_was_asked_in(
    signature: Signature, outputs: dict[str, Any], predictions: Any, columns: Any
) -> None:
    assert answered(signature, "instances", outputs) == {"predictions": predictions}
    assert answered(signature, "inputs", outputs) == {"outputs": predictions if columns is ... else columns}


def test_an_output_without_rows_can_only_be_asked_in_columns() -> None:
    with pytest.raises(InvalidInput, match="Output 'y' has the shape \\[3\\]"):
        answered(IRIS, "instances", {"y": np.array([1, 2, 3])})
    assert answered(IRIS, "inputs", {"y": np.array([1, 2, 3])}) == {"outputs": [1, 2, 3]}
    with pytest.raises(ModelFailed):
        answered(IRIS, "inputs", {})


BAD: list[tuple[str, Signature, Any, str]] = [
    ("neither", IRIS, {}, "neither 'instances' nor 'inputs'"),
    ("both", IRIS, {"instances": [X1], "inputs": [X1]}, "both 'instances' and 'inputs'"),
    ("empty body", IRIS, b"", "The body is empty"),
    ("a bare list", IRIS, [X1], "right form"),
    ("not JSON", IRIS, b"instances=1", "not valid JSON"),
    ("NaN in what is not JSON", IRIS, b'{"instances": [NaN,', "not valid JSON .*line 1"),
    ("NaN and a lone surrogate", TEXT, b'{"instances": ["\\ud800"], "x": NaN}', "not Unicode"),
    ("NaN and a number out of range", IRIS, b'{"instances": [[NaN, 1e999, 1, 1]]}', "out of range"),
    ("NaN deep down", OPEN, b'{"instances": [' + b"[" * 100_000 + b"NaN", "nested too deeply|not valid JSON"),
    ("NaN in the wrong form", IRIS, b'{"instances": NaN}', "right form"),
    ("NaN that is not UTF-8", IRIS, b'{"instances": [NaN, "\xff"]}', "not UTF-8|not Unicode"),
    ("instances that are no list", IRIS, {"instances": {"x": X1}}, "right form.*instances"),
    ("no instances", IRIS, {"instances": []}, "no rows"),
    ("inputs that are null", IRIS, {"inputs": None}, "expected a list"),
    ("inputs without names", PEOPLE, {"inputs": [ROW]}, "a list of 1, but the model takes 'age'"),
    ("another signature", IRIS, {"instances": [X1], "signature_name": "other"}, "'other' not found in signature def"),
    ("a signature that is no text", IRIS, {"instances": [X1], "signature_name": 1}, "right form"),
    ("a row for a matrix", IRIS, {"instances": X1}, "row 1: expected 4 values"),
    ("a short row", IRIS, {"instances": [X1, X1[:3]]}, "row 2: expected 4 values, got 3"),
    ("a missing column", PEOPLE, {"instances": [{"age": 1}]}, "Row 1: Missing columns: 'job'"),
    ("an unknown column", PEOPLE, {"inputs": {**PERSON, "agee": 1}}, "no column 'agee'"),
    ("columns of different length", TWO, {"inputs": {"text": ["a", "b"], "vector": [[1, 2, 3]]}}, "number of rows"),
    ("a value in place of a column", PEOPLE, {"inputs": PERSON}, "Column 'age': expected a list, got 41"),
    ("records and rows", PEOPLE, {"instances": [PERSON, ROW]}, "Row 2: expected an object"),
    ("base64 that is none", TEXT, {"instances": [{"b64": "%"}]}, "no input 'b64'"),
    ("two rows where one is taken", FIXED, {"instances": [{"v": [1, 2, 3], "k": 7}] * 2}, "one record at a time"),
]  # fmt: skip


@pytest.mark.parametrize(("signature", "body", "says"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_body_is_told_what_is_wrong(signature: Signature, body: Any, says: str) -> None:
    codec = PredictCodec(signature)
    with pytest.raises(InvalidInput) as caught:
        codec.decode(request(body))
    told = json.loads(codec.refuse(caught.value))
    assert list(told) == ["error"]
    assert re.search(says, told["error"]), told
    assert caught.value.help


@given(
    st.lists(st.tuples(st.floats(width=32), st.text(st.characters(codec="utf-8")), st.integers(-5, 5)), min_size=1),
    st.booleans(),
)
def test_what_goes_in_comes_out_in_both_forms(rows: list[tuple[float, str, int]], by_column: bool) -> None:
    names = ("a", "b", "c")
    inputs = (spec("a", "FP32"), spec("b", "BYTES"), spec("c", "INT64"))
    codec = PredictCodec(Signature(kind="tensors", inputs=inputs, outputs=inputs, batchable=True))
    records = [dict(zip(names, row, strict=True)) for row in rows]
    columns = {name: [record[name] for record in records] for name in names}
    body = {"inputs": columns} if by_column else {"instances": records}
    call = codec.decode(request(json.dumps(body).encode()))
    assert call.rows == len(rows)
    answer = json.loads(codec.encode(call, call.inputs).body)
    assert str(answer) == str({"outputs": columns} if by_column else {"predictions": records})


REGRESSION = Signature(kind="table", inputs=PEOPLE.inputs, outputs=(spec("y", "FP32", (-1, 1)),), batchable=True)


def test_classify_gives_every_label_its_score() -> None:
    codec = ExamplesCodec(PEOPLE, CLASSIFY)
    call = codec.decode(request({"examples": [PERSON, {**PERSON, "age": [42]}]}))
    assert call.inputs["age"].tolist() == [41.0, 42.0]
    assert read(codec.encode(call, CLASS_ANSWER)) == {
        "results": [[["no", 0.75], ["yes", 0.25]], [["no", 0.5], ["yes", 0.5]]]
    }


def test_context_belongs_to_every_example_and_an_example_goes_before_it() -> None:
    codec = ExamplesCodec(REGRESSION, REGRESS)
    shared = {name: value for name, value in PERSON.items() if name != "age"}
    body = {"context": shared, "examples": [{"age": 1}, {"age": [2], "visits": [9]}], "signature_name": ""}
    call = codec.decode(request(body))
    assert call.inputs["age"].tolist() == [1.0, 2.0]
    assert call.inputs["visits"].tolist() == [3, 9]
    assert codec.encode(call, {"y": np.array([[1.5], [math.nan]], np.float32)}).body == b'{"results":[1.5,NaN]}'


@pytest.mark.parametrize(
    ("question", "signature", "says"),
    [
        (CLASSIFY, ONE_COLUMN, "cannot classify"), (CLASSIFY, OPEN, "cannot classify"), (CLASSIFY, TWO, "cannot"),
        (REGRESS, IRIS, "no regression"), (REGRESS, OPEN, "no regression"), (REGRESS, FIXED, "no regression"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_says_so(question: Any, signature: Signature, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        ExamplesCodec(signature, question).decode(request({"examples": [{"x": 1}]}))
    assert ":predict" in caught.value.help


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "examples"), ({"examples": []}, "no rows"), ({"examples": [1]}, "right form"), ({"examples": {}}, "form"),
        ({"examples": [PERSON], "context": []}, "right form"), ({"examples": [{}]}, "Missing columns"),
        ({"examples": [{**PERSON, "age": [1, 2]}]}, "Row 1, column 'age': expected a number, got a list of 2"),
        ({"examples": [PERSON], "signature_name": "x"}, "not found in signature def"),
    ],
)  # fmt: skip
def test_bad_examples_are_told_what_is_wrong(body: Any, says: str) -> None:
    codec = ExamplesCodec(PEOPLE, CLASSIFY)
    with pytest.raises(InvalidInput) as caught:
        codec.decode(request(body))
    assert re.search(says, json.loads(codec.refuse(caught.value))["error"])


@pytest.mark.parametrize(
    ("question", "signature", "outputs"),
    [
        (CLASSIFY, PEOPLE, {"probabilities": np.ones((1, 2))}), (CLASSIFY, PEOPLE, {"probabilities": np.ones((2, 3))}),
        (REGRESS, REGRESSION, {"y": np.ones((2, 2))}), (REGRESS, REGRESSION, {"y": np.array(1.0)}),
    ],
)  # fmt: skip
def test_an_answer_of_another_shape_is_the_models_fault(question: Any, signature: Signature, outputs: Any) -> None:
    with pytest.raises(ModelFailed):
        ExamplesCodec(signature, question).encode(Call(inputs={}, rows=2), outputs)


@given(
    st.sampled_from([PredictCodec, MlflowCodec]),
    st.lists(st.integers(1, 3), min_size=2, max_size=5),
    st.sampled_from(["numbers", "lone", "texts", "nan", "label"]),
)
def test_calls_that_ran_together_are_answered_as_each_by_itself(
    door: type[PredictCodec | MlflowCodec], sizes: list[int], kind: str
) -> None:
    """MLflow's door too: its answers are written by the same hands."""
    codec, rows = door(TWO), sum(sizes)
    calls = [Call(inputs={}, rows=size) for size in sizes]
    numbers = np.arange(rows * 2, dtype=np.float32)
    outputs: dict[str, Any] = {
        "numbers": {"y": numbers[:rows].reshape(rows, 1), "z": numbers.reshape(rows, 2)},
        "lone": {"z": numbers.reshape(rows, 2)},
        "texts": {"y": np.array(["a", b"\xff", None] * rows, dtype=object)[:rows], "z": numbers[:rows]},
        "nan": {"z": np.where(numbers[:rows] % 2, np.nan, numbers[:rows])},
        "label": {"label": np.array(["no"] * rows), "probabilities": numbers.reshape(rows, 2)},
    }[kind]
    alone = [codec.encode(call, part) for call, part in zip(calls, split(outputs, calls), strict=True)]
    assert codec.encode_many(calls, outputs) == alone


def test_calls_in_the_column_form_are_answered_each_by_itself() -> None:
    codec = PredictCodec(TWO)
    calls = [codec.decode(request({"inputs": {"text": ["a"], "vector": [[1, 2, 3]]}})) for _ in range(2)]
    assert codec.encode_many(calls, {"y": np.zeros((2, 1)), "z": np.zeros((2, 2))}) is None
