"""The plain door: every form people type means the same, and what is wrong is named."""

from __future__ import annotations

import json
import math
import re
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput, ModelFailed
from inferry.interfaces.codec import Call
from inferry.protocols.plain import PlainCodec
from inferry.replica.calls import split
from inferry.types.frames import CONTENT_JSON
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

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)

ROW = list(PERSON.values())
X1, X2 = [5.0, 3.0, 1.0, 0.5], [6, 2, 4, 1]

FORMS: list[tuple[str, Signature, Any, int, dict[str, Any]]] = [
    ("records", PEOPLE, [PERSON, {**PERSON, "age": 42}], 2, {"age": [41.0, 42.0], "job": ["clerk", "clerk"]}),
    ("records in any key order", PEOPLE, [dict(reversed(PERSON.items()))], 1, {"visits": [3], "member": [True]}),
    ("rows", PEOPLE, [ROW, ROW], 2, {"age": [41.0, 41.0], "note": ["hi", "hi"]}),
    ("one row", PEOPLE, ROW, 1, {"age": [41.0], "note": ["hi"]}),
    ("columns", PEOPLE, {k: [v, v] for k, v in PERSON.items()}, 2, {"age": [41.0, 41.0], "member": [True, True]}),
    ("one record", PEOPLE, PERSON, 1, {"age": [41.0], "visits": [3]}),
    ("wrapped records", PEOPLE, {"inputs": [PERSON]}, 1, {"age": [41.0]}),
    ("wrapped as instances", PEOPLE, {"instances": [ROW]}, 1, {"age": [41.0]}),
    ("wrapped record", PEOPLE, {"inputs": PERSON}, 1, {"age": [41.0]}),
    ("wrapped columns", PEOPLE, {"inputs": {k: [v] for k, v in PERSON.items()}}, 1, {"age": [41.0]}),
    ("whole numbers written with a point", PEOPLE, [{**PERSON, "visits": 3.0, "age": 41}], 1, {"visits": [3]}),
    ("one column of values", ONE_COLUMN, [1, 2.5], 2, {"age": [1.0, 2.5]}),
    ("one column, rows", ONE_COLUMN, [[1], [2.5]], 2, {"age": [1.0, 2.5]}),
    ("one column, one value", ONE_COLUMN, 7, 1, {"age": [7.0]}),
    ("one column, columns", ONE_COLUMN, {"age": [1, 2.5]}, 2, {"age": [1.0, 2.5]}),
    ("one column, records", ONE_COLUMN, [{"age": 1}, {"age": 2.5}], 2, {"age": [1.0, 2.5]}),
    ("a matrix", IRIS, [X1, X2], 2, {"x": [X1, X2]}),
    ("a matrix by name", IRIS, {"x": [X1, X2]}, 2, {"x": [X1, X2]}),
    ("a matrix, one row", IRIS, X1, 1, {"x": [X1]}),
    ("a matrix, one row by name", IRIS, {"x": X1}, 1, {"x": [X1]}),
    ("a matrix, records", IRIS, [{"x": X1}, {"x": X2}], 2, {"x": [X1, X2]}),
    ("a wrapped matrix", IRIS, {"inputs": [X1]}, 1, {"x": [X1]}),
    ("two arrays", TWO, {"text": ["a", "b"], "vector": [[1, 2, 3]] * 2}, 2, {"text": ["a", "b"]}),
    ("two arrays, one record", TWO, {"text": "a", "vector": [1, 2, 3]}, 1, {"vector": [[1.0, 2.0, 3.0]]}),
    ("two arrays, records", TWO, [{"text": "a", "vector": [1, 2, 3]}], 1, {"vector": [[1.0, 2.0, 3.0]]}),
    ("two arrays, rows", TWO, [["a", [1, 2, 3]], ["b", [4, 5, 6]]], 2, {"vector": [[1, 2, 3], [4, 5, 6]]}),
    ("[-1, 1] columns, one record", COLUMNS_2D, {"age": 41, "job": "x"}, 1, {"age": [[41.0]], "job": [["x"]]}),
    ("[-1, 1] columns, records", COLUMNS_2D, [{"age": 1, "job": "x"}] * 2, 2, {"age": [[1.0], [1.0]]}),
    ("[-1, 1] columns, records of lists", COLUMNS_2D, [{"age": [1], "job": ["x"]}], 1, {"age": [[1.0]]}),
    ("[-1, 1] columns, columns", COLUMNS_2D, {"age": [1, 2], "job": ["x", "y"]}, 2, {"job": [["x"], ["y"]]}),
    ("[-1, 1] columns, arrays", COLUMNS_2D, {"age": [[1], [2]], "job": [["x"], ["y"]]}, 2, {"age": [[1.0], [2.0]]}),
    ("[-1, 1] columns, rows", COLUMNS_2D, [[1, "x"], [2, "y"]], 2, {"age": [[1.0], [2.0]], "job": [["x"], ["y"]]}),
    ("a batch of exactly one", IMAGE, [[[1, 2], [3, 4]]], 1, {"image": [[[1, 2], [3, 4]]]}),
    ("a batch of exactly one, bare", IMAGE, [[1, 2], [3, 4]], 1, {"image": [[[1, 2], [3, 4]]]}),
    ("fixed shapes", FIXED, {"v": [1, 2, 3], "k": 7}, 0, {"v": [1.0, 2.0, 3.0], "k": 7}),
    ("fixed shapes, one record", FIXED, [{"v": [1, 2, 3], "k": 7}], 0, {"v": [1.0, 2.0, 3.0], "k": 7}),
    ("fixed shapes, one row", FIXED, [[[1, 2, 3], 7]], 0, {"k": 7}),
]


@pytest.mark.parametrize(("signature", "body", "rows", "inputs"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_every_form_gives_the_same_arrays(signature: Signature, body: Any, rows: int, inputs: dict[str, Any]) -> None:
    call = PlainCodec(signature).decode(request(body))
    assert call.rows == rows
    assert list(call.inputs) == [given.name for given in signature.inputs]
    for name, values in inputs.items():
        assert call.inputs[name].tolist() == values


def test_an_input_may_be_called_inputs() -> None:
    codec = PlainCodec(Signature(kind="tensors", inputs=(spec("inputs", "FP32", (-1, 2)),), outputs=(spec("y"),)))
    for body in ([[1, 2]], {"inputs": [[1, 2]]}, {"inputs": {"inputs": [[1, 2]]}}, {"instances": [[1, 2]]}):
        assert codec.decode(request(body)).inputs["inputs"].tolist() == [[1, 2]]


def test_null_is_a_missing_value_where_the_column_takes_it() -> None:
    call = PlainCodec(PEOPLE).decode(request([{**PERSON, "income": None, "note": None}, {**PERSON, "income": 2}]))
    assert math.isnan(call.inputs["income"][0])
    assert call.inputs["income"][1] == 2
    assert call.inputs["note"].tolist() == [None, "hi"]


def test_bytes_come_as_text_or_base64() -> None:
    codec = PlainCodec(Signature(kind="tensors", inputs=(spec("b", "BYTES"),), outputs=(spec("y"),)))
    assert codec.decode(request(["é", {"b64": "/wA="}])).inputs["b"].tolist() == ["é", b"\xff\x00"]
    assert codec.decode(request([{"b64": "YQ=="}])).inputs["b"].tolist() == ["a"]
    assert codec.decode(request({"b64": "YQ=="})).inputs["b"].tolist() == ["a"]


def test_a_number_that_is_a_category_stays_what_it_is() -> None:
    codec = PlainCodec(
        Signature(kind="table", inputs=(spec("c", "BYTES", categories=(1, "a")),), outputs=(spec("y"),), batchable=True)
    )
    assert codec.decode(request([1, "a", "other"])).inputs["c"].tolist() == [1, "a", "other"]
    with pytest.raises(InvalidInput, match="expected text, got 2"):
        codec.decode(request([2]))


@pytest.mark.parametrize("value", ["hi", 3, None, [1, "a"], {"q": [1]}, [[1], [2, 3]], {"a": 1, "inputs": 2}])
def test_an_open_model_gets_the_json_value(value: Any) -> None:
    codec = PlainCodec(OPEN)
    assert codec.decode(request(value)).inputs == value
    assert codec.decode(request({"inputs": value})).inputs == value
    assert codec.decode(request(value)).rows == 0


def test_a_classifier_answers_label_and_probabilities_by_class() -> None:
    codec = PlainCodec(PEOPLE)
    encoded = codec.encode(codec.decode(request([PERSON, PERSON])), CLASS_ANSWER)
    assert encoded.content == CONTENT_JSON
    assert read(encoded) == {
        "model": "fraud",
        "version": 3,
        "predictions": [
            {"label": "no", "probabilities": {"no": 0.75, "yes": 0.25}},
            {"label": "yes", "probabilities": {"no": 0.5, "yes": 0.5}},
        ],
    }


@given(st.lists(st.integers(1, 3), min_size=2, max_size=5), st.sampled_from(["numbers", "texts", "files", "values"]))
def test_calls_that_ran_together_are_answered_as_each_by_itself(sizes: list[int], kind: str) -> None:
    codec, rows = PlainCodec(TWO), sum(sizes)
    calls = [Call(inputs={}, rows=size, name="fraud", version=str(at)) for at, size in enumerate(sizes)]
    numbers = np.arange(rows * 2, dtype=np.float32)
    outputs: dict[str, Any] = {
        "numbers": {"y": numbers[:rows].reshape(rows, 1), "z": numbers.reshape(rows, 2)},
        "texts": {"y": np.array(["a", b"\xff", None] * rows, dtype=object)[:rows], "z": numbers[:rows]},
        "files": {"y": np.array([PNG] * rows, dtype=object)},
        "values": {"y": numbers[:rows]},
    }[kind]
    together = codec.encode_many(calls, outputs)
    alone = [codec.encode(call, part) for call, part in zip(calls, split(outputs, calls), strict=True)]
    assert together == (None if kind in ("texts", "files") else alone)


def test_json_text_of_an_output_is_answered_as_its_value() -> None:
    found = [[{"text": "Zürich", "score": 0.5}], []]
    outputs = (spec("found", "BYTES", json=True), spec("said", "BYTES"))
    codec = PlainCodec(Signature(kind="tensors", inputs=(spec("text", "BYTES"),), outputs=outputs, batchable=True))
    texts = np.array([json.dumps(one, ensure_ascii=False) for one in found], dtype=object)
    answer = read(codec.encode(Call(inputs={}, rows=2), {"found": texts, "said": texts}))
    assert answer["predictions"] == [{"found": one, "said": text} for one, text in zip(found, texts, strict=True)]


@pytest.mark.parametrize(
    ("labels", "keys"), [((0, 1), ["0", "1"]), ((False, True), ["false", "true"]), ((0.5, 2.0), ["0.5", "2.0"])]
)
def test_labels_of_any_type_are_keys(labels: Any, keys: list[str]) -> None:
    outputs = (spec("label", "INT64"), spec("probabilities", "FP64", (-1, 2), labels=labels))
    codec = PlainCodec(Signature(kind="tensors", inputs=IRIS.inputs, outputs=outputs, batchable=True))
    answer = {"label": np.array([1]), "probabilities": np.array([[0.25, 0.75]])}
    (prediction,) = read(codec.encode(Call(inputs={}, rows=1), answer))["predictions"]
    assert list(prediction["probabilities"]) == keys


@pytest.mark.parametrize(
    ("signature", "rows", "answer", "predictions"),
    [
        (ONE_COLUMN, 2, {"y": np.array([1.5, np.nan])}, [{"y": 1.5}, {"y": None}]),
        (TWO, 1, {"y": np.array([[1.5]], np.float32), "z": np.array([[1, 2]])}, [{"y": 1.5, "z": [1, 2]}]),
        (IMAGE, 1, {"y": np.array([[1.0, 2.0, 3.0]])}, [{"y": [1.0, 2.0, 3.0]}]),
        (FIXED, 0, {"y": np.array([1.0, 2.0, 3.0])}, [{"y": [1.0, 2.0, 3.0]}]),
        (ONE_COLUMN, 3, {"y": np.array(2.5)}, [{"y": 2.5}]),
        (ONE_COLUMN, 2, {"y": np.array([b"\xff", "a"], dtype=object)}, [{"y": {"b64": "/w=="}}, {"y": "a"}]),
        (ONE_COLUMN, 2, {"y": np.array([np.float32(0.5), None], dtype=object)}, [{"y": 0.5}, {"y": None}]),
        (ONE_COLUMN, 1, {"y": np.array(["a"])}, [{"y": "a"}]),
    ],
)
def test_answers_go_row_by_row_where_they_can(
    signature: Signature, rows: int, answer: Any, predictions: list[Any]
) -> None:
    assert read(PlainCodec(signature).encode(Call(inputs={}, rows=rows), answer))["predictions"] == predictions


@pytest.mark.parametrize(
    ("answer", "predictions"),
    [
        ({"a": np.array([1, 2]), 3: (np.float32(0.5),)}, {"a": [1, 2], "3": [0.5]}),
        ([b"ok", b"\xff"], ["ok", {"b64": "/w=="}]),
        (float("nan"), None),
        (np.int64(4), 4),
        ({1, 2} - {2}, [1]),
        (date(2026, 1, 2), "2026-01-02"),
        ("text", "text"),
    ],
)
def test_an_open_models_answer_is_written_as_it_is(answer: Any, predictions: Any) -> None:
    assert read(PlainCodec(OPEN).encode(Call(inputs=None, rows=0), answer))["predictions"] == predictions


def test_a_data_frame_is_answered_as_records() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None]})
    predictions = read(PlainCodec(OPEN).encode(Call(inputs=None, rows=0), frame))["predictions"]
    assert predictions == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize("answer", [object(), [{"a": lambda: 1}], 1j, LOOP, np.array([1j]), "\ud800", len])
def test_an_answer_that_is_no_json_is_the_models_fault(answer: Any) -> None:
    with pytest.raises(ModelFailed, match="answer"):
        PlainCodec(OPEN).encode(Call(inputs=None, rows=0), answer)


def changed(**values: Any) -> dict[str, Any]:
    return {**PERSON, **values}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in PERSON.items() if name not in names}


LOOSE = Signature(kind="tensors", inputs=(spec("a"),), outputs=(spec("y"),))
UNEVEN = {**{name: [value] for name, value in PERSON.items()}, "job": ["clerk"] * 2}
KING = [PERSON, changed(job="king")]
TWO_IMAGES = [[[1, 2], [3, 4]]] * 2

BAD: list[tuple[str, Signature, Any, str]] = [
    ("empty body", PEOPLE, b"", "The body is empty. Send records like \\[{\"age\": 0"),
    ("not JSON", PEOPLE, b"age=41", "not valid JSON"),
    ("not UTF-8", PEOPLE, b'[{"job": "\xff\xfe"}]', "not UTF-8"),
    ("deep nesting", PEOPLE, b"[" * 500_000, "nested too deeply"),
    ("deep nesting of objects", OPEN, b'{"a":' * 500_000, "nested too deeply"),
    ("NaN", PEOPLE, b'[{"age": NaN}]', "NaN at byte"),
    ("-Infinity", IRIS, b"[[1, 2, 3, -Infinity]]", "-Infinity at byte"),
    ("absurd number", IRIS, b"[[" + b"9" * 5000 + b", 2, 3, 4]]", "out of range"),
    ("empty list", PEOPLE, [], "no rows"),
    ("empty wrapped list", IRIS, {"inputs": []}, "no rows"),
    ("empty columns", PEOPLE, {name: [] for name in PERSON}, "no rows"),
    ("an empty column", LOOSE, {"a": []}, "no rows"),
    ("a text", PEOPLE, "hello", "The body is 'hello', not rows"),
    ("null", PEOPLE, None, "The body is null, not rows"),
    ("a text for a matrix", IRIS, "hello", "expected .*got 'hello'"),
    ("missing column", PEOPLE, without("age"), "Missing column: 'age'"),
    ("missing columns in one row", PEOPLE, [PERSON, without("age", "job")], "Row 2: Missing columns: 'age', 'job'"),
    ("empty record", PEOPLE, {}, "Missing columns: 'age', 'job'"),
    ("unknown column", PEOPLE, changed(city="x"), "There is no column 'city'"),
    ("misspelt column", PEOPLE, {**without("income"), "incom": 1}, "no column 'incom'. Did you mean 'income'\\?"),
    ("misspelt in row 2", PEOPLE, [PERSON, {**without("age"), "Age": 1}], "Row 2: There is no column 'Age'. .*'age'"),
    ("rows differ in kind", PEOPLE, [PERSON, 5], "Row 2: expected an object, got 5"),
    ("rows differ in kind, lists", PEOPLE, [ROW, PERSON], "Row 2: expected a list, got an object"),
    ("short row", PEOPLE, [ROW, ROW[:2]], "Row 2 has 2 values, but the model takes 6: 'age', 'job'"),
    ("long row", PEOPLE, [*ROW, 1], "Row 1 has 7 values"),
    ("ragged columns", PEOPLE, UNEVEN, "Column 'job' has 2 values, column 'age' has 1"),
    ("record or columns", PEOPLE, changed(age=[1, 2]), "One record or many\\?"),
    ("text for a number", PEOPLE, [PERSON, changed(age="41")], "Row 2, column 'age': expected a number, got '41'"),
    ("long text for a number", PEOPLE, changed(age="x" * 10_000), "expected a number, got 'x{36}\\.\\.\\.\\. "),
    ("text with control characters", PEOPLE, changed(age="\x1b[31m\u202e"), "got '.x1b\\[31m.u202e'"),
    ("bool for a number", PEOPLE, changed(age=True), "column 'age': expected a number, got true"),
    ("bool for an integer", PEOPLE, changed(visits=False), "column 'visits': expected a whole number, got false"),
    ("number for a bool", PEOPLE, changed(member=1), "column 'member': expected true or false, got 1"),
    ("number for text", PEOPLE, changed(note=5), "column 'note': expected text, got 5"),
    ("fraction for an integer", PEOPLE, changed(visits=1.5), "column 'visits': expected a whole number, got 1.5"),
    ("integer beyond 64 bits", PEOPLE, changed(visits=2**63), "9223372036854775808 is out of the range of INT64"),
    ("huge integral float", PEOPLE, changed(visits=1e300), "is out of the range of INT64"),
    ("null", PEOPLE, changed(age=None), "Row 1, column 'age': null came"),
    ("null text", PEOPLE, changed(job=None), "column 'job': null came"),
    ("unknown category", PEOPLE, KING, "Row 2, column 'job': 'king' is not a known category. Known: 'clerk', 'baker'"),
    ("a list in a cell", PEOPLE, [changed(age=[1])], "column 'age': expected a number, got a list"),
    ("an object in a cell", PEOPLE, [changed(note={"a": 1})], "column 'note': expected text, got an object"),
    ("bad base64", PEOPLE, [changed(note={"b64": "*"})], "column 'note': expected text, got an object"),
    ("wrong width", IRIS, [[1, 2, 3]], "row 1: expected 4 values, got 3"),
    ("ragged rows", IRIS, [X1, [1, 2]], "row 2: expected 4 values, got 2"),
    ("a number among rows", IRIS, [X1, 7], "row 2: expected 4 values, got 7 in place of a list"),
    ("too deep", IRIS, [[X1]], "row 1: expected 4 values, got 1"),
    ("text in a matrix", IRIS, [X1, [1, 2, "3", 4]], "Row 2, input 'x', position \\[3\\]: expected a number"),
    ("out of range", IRIS, [[1, 2, 3, 1e39]], "position \\[4\\]: 1e\\+39 is out of the range of FP32"),
    ("rows differ", TWO, {"text": ["a"], "vector": [[1, 2, 3]] * 2}, "rows: 'text' has 1, 'vector' has 2"),
    ("two rows where one is taken", IMAGE, TWO_IMAGES, "shape \\[2, 2, 2\\], but the model takes \\[1, 2, 2\\]"),
    ("two records where one is taken", FIXED, [{"v": [1, 2, 3], "k": 7}] * 2, "one record at a time"),
    ("uint8 overflow", IMAGE, [[[1, 2], [3, 256]]], "256 is out of the range of UINT8"),
    ("a record in a list of one is no record", FIXED, [5], "1 values|expected"),
]  # fmt: skip


@pytest.mark.parametrize(("signature", "body", "says"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_body_is_told_what_is_wrong(signature: Signature, body: Any, says: str) -> None:
    codec = PlainCodec(signature)
    with pytest.raises(InvalidInput) as caught:
        codec.decode(request(body))
    error = json.loads(codec.refuse(caught.value))["error"]
    assert error["code"] == "invalid_input"
    assert error["help"]
    assert re.search(says, f"{error['message']} {error['help']}")
    assert len(caught.value.sentence()) < 600


@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text(), st.booleans()), min_size=1))
def test_rows_records_and_columns_agree_and_keep_their_order(rows: list[tuple[float, str, bool]]) -> None:
    names = ("a", "b", "c")
    inputs = (spec("a"), spec("b", "BYTES"), spec("c", "BOOL"))
    codec = PlainCodec(Signature(kind="table", inputs=inputs, outputs=inputs, batchable=True))
    records = [dict(zip(names, row, strict=True)) for row in rows]
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    for body in ([list(row) for row in rows], records, columns):
        call = codec.decode(request(body))
        assert call.rows == len(rows)
        assert {name: array.tolist() for name, array in call.inputs.items()} == columns
    assert read(codec.encode(call, call.inputs))["predictions"] == records
