"""MLflow's scoring protocol: its four JSON forms and CSV, its answers, and what is wrong named."""

from __future__ import annotations

import csv
import io
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
from inferry.protocols.mlflow_csv import CsvCodec
from inferry.types.signature import Signature
from tests.support.protocol_cases import (
    CLASS_ANSWER,
    COLUMNS_2D,
    FIXED,
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


def split(columns: Any, *rows: Any, **more: Any) -> dict[str, Any]:
    named = {} if columns is None else {"columns": columns}
    return {"dataframe_split": {**named, "data": list(rows), **more}}


def records(*rows: Any) -> dict[str, Any]:
    return {"dataframe_records": list(rows)}


FORMS: list[tuple[str, Signature, Any, dict[str, Any]]] = [
    ("split", PEOPLE, split(list(PERSON), ROW, ROW), {"age": [41.0, 41.0], "job": ["clerk", "clerk"]}),
    ("split with an index", PEOPLE, split(list(PERSON), ROW, index=[7]), {"age": [41.0]}),
    ("split in another order", PEOPLE, split(list(PERSON)[::-1], ROW[::-1]), {"age": [41.0], "visits": [3]}),
    ("split with more columns", PEOPLE, split([*PERSON, "extra"], [*ROW, {}]), {"age": [41.0]}),
    ("split without columns", PEOPLE, split(None, ROW), {"age": [41.0]}),
    ("split of a matrix", IRIS, split(["a", "b", "c", "d"], X1, X2), {"x": [X1, X2]}),
    ("split of a matrix, numbered", IRIS, split([0, 1, 2, 3], X1), {"x": [X1]}),
    ("split of a matrix, nameless", IRIS, split(None, X1, X2), {"x": [X1, X2]}),
    ("split of a matrix in one column", IRIS, split(["x"], [X1], [X2]), {"x": [X1, X2]}),
    ("split of one column", ONE_COLUMN, split(["age"], [1], [2.5]), {"age": [1.0, 2.5]}),
    ("split of one column, nameless", ONE_COLUMN, split(None, [1]), {"age": [1.0]}),
    ("split of [-1, 1] columns", COLUMNS_2D, split(["age", "job"], [1, "x"]), {"age": [[1.0]], "job": [["x"]]}),
    ("records", PEOPLE, records(PERSON, {**PERSON, "age": 42}), {"age": [41.0, 42.0]}),
    ("records with more", PEOPLE, records({**PERSON, "extra": 1}), {"age": [41.0]}),
    ("records of a matrix", IRIS, records(dict(zip("abcd", X1, strict=True))), {"x": [X1]}),
    ("records with a matrix in them", IRIS, records({"x": X1}, {"x": X2}), {"x": [X1, X2]}),
    ("inputs by name", PEOPLE, {"inputs": {name: [v] * 2 for name, v in PERSON.items()}}, {"age": [41.0, 41.0]}),
    ("inputs by name with more", PEOPLE, {"inputs": {**{n: [v] for n, v in PERSON.items()}, "e": 1}}, {"age": [41.0]}),
    ("inputs of one row", PEOPLE, {"inputs": PERSON}, {"age": [41.0], "visits": [3]}),
    ("inputs, a matrix", IRIS, {"inputs": [X1, X2]}, {"x": [X1, X2]}),
    ("inputs, a named matrix", IRIS, {"inputs": {"x": [X1, X2]}}, {"x": [X1, X2]}),
    ("inputs, records", PEOPLE, {"inputs": [PERSON]}, {"age": [41.0]}),
    ("inputs, rows", PEOPLE, {"inputs": [ROW]}, {"age": [41.0]}),
    ("inputs, text", TEXT, {"inputs": ["a", "b"]}, {"text": ["a", "b"]}),
    ("instances, records", PEOPLE, {"instances": [PERSON]}, {"age": [41.0]}),
    ("instances, records with more", PEOPLE, {"instances": [{**PERSON, "extra": 1}]}, {"age": [41.0]}),
    ("instances, a matrix", IRIS, {"instances": [X1, X2]}, {"x": [X1, X2]}),
    ("instances, bytes", TEXT, {"instances": [{"b64": "YQ=="}]}, {"text": ["a"]}),
    ("instances, two inputs", TWO, {"instances": [{"text": "a", "vector": [1, 2, 3]}]}, {"text": ["a"]}),
    ("with params", IRIS, {"inputs": [X1], "params": {"t": 1}}, {"x": [X1]}),
    ("with params that are null", IRIS, {"inputs": [X1], "params": None}, {"x": [X1]}),
    ("with what nobody knows", IRIS, {"inputs": [X1], "foo": 1}, {"x": [X1]}),
]


@pytest.mark.parametrize(("signature", "body", "inputs"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_every_form_gives_the_same_arrays(signature: Signature, body: Any, inputs: dict[str, Any]) -> None:
    call = MlflowCodec(signature).decode(request(body))
    for name, values in inputs.items():
        assert call.inputs[name].tolist() == values
    assert call.rows == len(next(iter(inputs.values())))


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (split(["a", "b"], [1, "x"]), [{"a": 1, "b": "x"}]), (split(None, [1, "x"]), [[1, "x"]]),
        (records({"a": 1}, {"b": 2}), [{"a": 1}, {"b": 2}]), ({"inputs": "hi"}, "hi"), ({"inputs": {"a": 1}}, {"a": 1}),
        ({"instances": ["a", {"b64": "YQ=="}]}, ["a", {"b64": "YQ=="}]),
    ],
)  # fmt: skip
def test_an_open_model_gets_records_or_the_value(body: Any, value: Any) -> None:
    codec = MlflowCodec(OPEN)
    call = codec.decode(request(body))
    assert (call.inputs, call.rows) == (value, 0)
    assert read(codec.encode(call, call.inputs)) == {"predictions": value}


def test_nan_is_a_missing_value_in_a_column_and_a_number_in_a_matrix() -> None:
    body = split([*PERSON], [41, "clerk", 3, True, math.nan, math.nan])
    call = MlflowCodec(PEOPLE).decode(request(body))
    assert math.isnan(call.inputs["income"][0])
    assert call.inputs["note"].tolist() == [None]
    call = MlflowCodec(IRIS).decode(request({"inputs": [[math.nan, math.inf, 1, 1]]}))
    assert str(call.inputs["x"].tolist()) == "[[nan, inf, 1.0, 1.0]]"


@pytest.mark.parametrize(
    ("outputs", "predictions"),
    [
        (CLASS_ANSWER, '["no","yes"]'),
        ({"label": np.array([1, -1]), "score": np.array([0.5, -0.5])}, "[1,-1]"),
        ({"y": np.array([1.5, math.nan])}, "[1.5,NaN]"),
        ({"y": np.array([[math.inf, 1], [2, 3]])}, "[[Infinity,1.0],[2.0,3.0]]"),
        ({"y": np.array([1, 2]), "z": np.array(["a", None], object)}, '[{"y":1,"z":"a"},{"y":2,"z":null}]'),
        ({"y": np.array([1, 2, 3]), "z": np.array([1, 2])}, '{"y":[1,2,3],"z":[1,2]}'),
        ({"y": np.array(2.5)}, "2.5"),
    ],
)
def test_predictions_are_what_a_models_predict_returns(outputs: dict[str, Any], predictions: str) -> None:
    encoded = MlflowCodec(IRIS).encode(Call(inputs={}, rows=2), outputs)
    assert encoded.body.decode() == f'{{"predictions":{predictions}}}'
    with pytest.raises(ModelFailed):
        MlflowCodec(IRIS).encode(Call(inputs={}, rows=2), {})


FORM, SCHEMA = "BAD_REQUEST", "INVALID_PARAMETER_VALUE"
BAD: list[tuple[str, Signature, Any, str, str]] = [
    ("nothing", IRIS, {}, FORM, "has no input. Send an object with exactly one of"),
    ("nothing known", IRIS, {"foo": [X1]}, FORM, "has no input"),
    ("two", IRIS, {"inputs": [X1], "instances": [X1]}, FORM, "has inputs and instances"),
    ("an empty body", IRIS, b"", FORM, "The body is empty"),
    ("not JSON", IRIS, b'{"inputs":', FORM, "not valid JSON"),
    ("a list", IRIS, [X1], FORM, "right form"),
    ("a number", IRIS, 3, FORM, "right form"),
    ("split, a list", IRIS, {"dataframe_split": [1]}, FORM, "right form.*dataframe_split"),
    ("split without data", IRIS, {"dataframe_split": {"columns": ["a"]}}, FORM, "required field `data`"),
    ("split with an unknown part", IRIS, split(["a"], [1], dtype=1), FORM, "unknown field `dtype`"),
    ("records, an object", PEOPLE, {"dataframe_records": PERSON}, FORM, "right form.*dataframe_records"),
    ("instances, an object", PEOPLE, {"instances": PERSON}, FORM, "right form.*instances"),
    ("params, a list", IRIS, {"inputs": [X1], "params": [1]}, FORM, "right form.*params"),
    ("no rows", PEOPLE, split(list(PERSON)), SCHEMA, "no rows"),
    ("no rows and no columns", PEOPLE, split(None), SCHEMA, "no rows"),
    ("no records", PEOPLE, records(), SCHEMA, "no rows"),
    ("a short row", IRIS, split(["a", "b", "c", "d"], X1, X1[:3]), SCHEMA, "Row 2 has 3 values for 4 columns"),
    ("a short row, nameless", IRIS, split(None, X1, X1[:3]), SCHEMA, "Row 2 has 3 values for 4 columns"),
    ("a column twice", PEOPLE, split(["age", "age"], [1, 1]), SCHEMA, "'age' is named twice"),
    ("a missing column", PEOPLE, split(list(PERSON)[1:], ROW[1:]), SCHEMA, "Missing column: 'age'"),
    ("a misspelt column", PEOPLE, split(["agee", *list(PERSON)[1:]], ROW), SCHEMA, "no column 'agee'. Did you mean 'age'"),
    ("a missing column in a later record", PEOPLE, records(PERSON, {"age": 1}), SCHEMA, "Row 2: missing column 'job'"),
    ("a feature missing", IRIS, records(dict(zip("abcd", X1, strict=True)), {"a": 1}), SCHEMA, "Row 2: missing column 'b'"),
    ("too few features", IRIS, split(["a", "b"], [1, 2]), SCHEMA, "expected 4 values, got 2"),
    ("a bare row", IRIS, {"inputs": X1}, SCHEMA, "row 1: expected 4 values"),
    ("a short matrix", IRIS, {"inputs": [X1[:3]]}, SCHEMA, "expected 4 values, got 3"),
    ("text for a number", PEOPLE, records({**PERSON, "age": "x"}), SCHEMA, "Row 1, column 'age': expected a number, got 'x'"),
    ("a fraction for a whole number", PEOPLE, records({**PERSON, "visits": 1.5}), SCHEMA, "expected a whole number"),
    ("null where nothing may be missing", PEOPLE, records({**PERSON, "age": None}), SCHEMA, "no missing values"),
    ("inputs, a number", PEOPLE, {"inputs": 3}, SCHEMA, "inputs are 3, but the model takes"),
    ("inputs that lack one", PEOPLE, {"inputs": {"age": [1]}}, SCHEMA, "Missing columns"),
]  # fmt: skip


@pytest.mark.parametrize(("signature", "body", "code", "says"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_body_is_told_what_is_wrong(signature: Signature, body: Any, code: str, says: str) -> None:
    refused(MlflowCodec(signature), body, code, says)


def refused(codec: Any, body: Any, code: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        codec.decode(request(body))
    told = json.loads(codec.refuse(caught.value))
    assert list(told) == ["error_code", "message"]
    assert told["error_code"] == code, told
    assert re.search(says, told["message"]), told
    assert caught.value.help
    assert len(told["message"]) < 600


HEADER = "age,job,visits,member,income,note"


def from_csv(signature: Signature, *lines: str) -> Any:
    return CsvCodec(signature).decode(request("\n".join([*lines, ""]).encode())).inputs


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("41,clerk,3,True,2.5,hi", [41.0, "clerk", 3, True, 2.5, "hi"]),
        ("41.5,clerk,3.0,true,,", [41.5, "clerk", 3, True, math.nan, None]),
        ('-1e3,baker,-3,FALSE,NaN,"a, ""b""\nc"', [-1000.0, "baker", -3, False, math.nan, 'a, "b"\nc']),
        (" 41 ,clerk, 3,1,N/A,NA", [41.0, "clerk", 3, True, math.nan, None]),
        ("inf,clerk,3,0,-Infinity, x ", [math.inf, "clerk", 3, False, -math.inf, " x "]),
    ],
)
def test_cells_are_read_as_the_signature_has_them(line: str, row: list[Any]) -> None:
    inputs = from_csv(PEOPLE, HEADER, line)
    assert str([array.tolist()[0] for array in inputs.values()]) == str(row)


def test_columns_of_a_csv_come_in_any_order_with_others_beside_them() -> None:
    names = ["", "note", "extra", "income", "member", "visits", "job", "age"]
    inputs = from_csv(PEOPLE, ",".join(names), "0,hi,x,1,True,3,clerk,41", "1,,y,,False,4,baker,42")
    assert inputs["age"].tolist() == [41.0, 42.0]
    assert inputs["note"].tolist() == ["hi", None]


def test_a_csv_of_a_matrix_is_the_matrix() -> None:
    assert from_csv(IRIS, "a,b,c,d", "1,2,3,4", "5,6,7,")["x"][0].tolist() == [1, 2, 3, 4]
    assert math.isnan(from_csv(IRIS, "a,b,c,d", "1,2,3,")["x"][0, 3])
    assert from_csv(IRIS, ",a,b,c,d", "0,1,2,3,4")["x"].tolist() == [[1, 2, 3, 4]]


def test_text_that_looks_like_nothing_is_text_where_nothing_may_be_missing() -> None:
    assert from_csv(TEXT, "text", "NA", "null", '""', "a")["text"].tolist() == ["NA", "null", "", "a"]


def test_categories_that_are_no_text_are_found_by_their_text() -> None:
    known = spec("c", "BYTES", categories=(1, "a"), closed=True)
    signature = Signature(kind="table", inputs=(known,), outputs=(spec("y"),), batchable=True)
    assert from_csv(signature, "c", "1", "a")["c"].tolist() == [1, "a"]


def test_an_open_model_gets_records_of_what_cells_look_like() -> None:
    assert from_csv(OPEN, "a,b,c,d", "1,x,,True", "2.5,1e999,007,false") == [
        {"a": 1, "b": "x", "c": None, "d": True},
        {"a": 2.5, "b": "1e999", "c": 7, "d": False},
    ]


BAD_CSV: list[tuple[str, Signature, Any, str, str]] = [
    ("empty", PEOPLE, b"", FORM, "The body is empty"),
    ("blank lines", PEOPLE, b"\n\r\n\n", FORM, "The body is empty"),
    ("a header alone", PEOPLE, HEADER.encode(), SCHEMA, "no rows"),
    ("not UTF-8", PEOPLE, b"age\n\xff\n", FORM, "not UTF-8"),
    ("a quote that is not closed", PEOPLE, b'age\n"41', FORM, "not valid CSV"),
    ("text behind a quote", PEOPLE, b'age\n"4"1\n', FORM, "not valid CSV"),
    ("a short line", PEOPLE, HEADER.encode() + b"\n1,2\n", FORM, "Row 1 has 2 values for 6 columns"),
    ("a missing column", PEOPLE, b"age,job\n1,clerk\n", SCHEMA, "Missing columns"),
    ("a column twice", PEOPLE, b"age,age\n1,2\n", SCHEMA, "named twice"),
    ("text for a number", PEOPLE, HEADER.encode() + b"\nx,clerk,3,True,1,a\n", SCHEMA, "column 'age'.*got 'x'"),
    ("1e999", PEOPLE, HEADER.encode() + b"\n1e999,clerk,3,True,1,a\n", SCHEMA, "got '1e999'"),
    ("1_000", PEOPLE, HEADER.encode() + b"\n1_000,clerk,3,True,1,a\n", SCHEMA, "got '1_000'"),
    ("a gap", PEOPLE, HEADER.encode() + b"\n,clerk,3,True,1,a\n", SCHEMA, "no missing values"),
    ("a fraction", PEOPLE, HEADER.encode() + b"\n1,clerk,3.5,True,1,a\n", SCHEMA, "expected a whole number"),
    ("maybe", PEOPLE, HEADER.encode() + b"\n1,clerk,3,maybe,1,a\n", SCHEMA, "expected true or false"),
    ("an unknown category", PEOPLE, HEADER.encode() + b"\n1,king,3,True,1,a\n", SCHEMA, "not a known category"),
    ("over 64 bits", PEOPLE, HEADER.encode() + b"\n1,clerk,99999999999999999999,True,1,a\n", SCHEMA, "out of the range"),
    ("too few features", IRIS, b"a,b\n1,2\n", SCHEMA, "expected 4 values, got 2"),
    ("for a model without rows", FIXED, b"v,k\n1,2\n", SCHEMA, "shape|expected"),
]  # fmt: skip


@pytest.mark.parametrize(("signature", "body", "code", "says"), [b[1:] for b in BAD_CSV], ids=[b[0] for b in BAD_CSV])
def test_a_bad_csv_is_told_what_is_wrong(signature: Signature, body: Any, code: str, says: str) -> None:
    refused(CsvCodec(signature), body, code, says)


CELLS = st.tuples(
    st.floats(width=32, allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
)


@given(st.lists(CELLS, min_size=1))
def test_json_and_csv_agree_and_their_echo_comes_back(rows: list[tuple[float, str, int, bool]]) -> None:
    names = ["a", "b", "c", "d"]
    inputs = (spec("a", "FP32"), spec("b", "BYTES"), spec("c", "INT64"), spec("d", "BOOL"))
    signature = Signature(kind="table", inputs=inputs, outputs=inputs, batchable=True)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([names, *rows])
    frame = [dict(zip(names, row, strict=True)) for row in rows]
    for codec, body in (
        (MlflowCodec(signature), json.dumps(split(names, *rows)).encode()),
        (MlflowCodec(signature), json.dumps(records(*frame)).encode()),
        (CsvCodec(signature), text.getvalue().encode()),
    ):
        call = codec.decode(request(body))
        assert call.rows == len(rows)
        assert json.loads(codec.encode(call, call.inputs).body) == {"predictions": frame}
