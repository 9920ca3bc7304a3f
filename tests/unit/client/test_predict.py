"""Any data in, the same form out; binary tensors where they can be."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from inferry.client import Prediction
from inferry.errors import InvalidInput, ModelFailed, NotFound
from tests.support.fake_platform import Canned


@pytest.fixture
def fraud(client):
    return client.endpoint("fraud")


@pytest.fixture
def double(client):
    return client.endpoint("double")


def sent(fake):
    """Head of the last inference request's tensors, by name."""
    last = fake.requests[-1]
    size = int(last.headers.get("inference-header-content-length", len(last.body)))
    return {tensor["name"]: tensor for tensor in json.loads(last.body[:size])["inputs"]}


# -- arrays


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "float16"])
def test_an_array_goes_binary_and_comes_back_as_an_array(fake, double, dtype):
    x = np.arange(8, dtype=dtype).reshape(2, 4)
    y = double.predict(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, 2 * x)
    assert sent(fake)["x"] == {
        "name": "x", "datatype": "FP32", "shape": [2, 4], "parameters": {"binary_data_size": 32},
    }  # fmt: skip


def test_a_fortran_array_and_a_strided_one_arrive_right(double):
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(double.predict(np.asfortranarray(x)), 2 * x)
    np.testing.assert_array_equal(double.predict(x[::2]), 2 * x[::2])


def test_an_array_without_the_row_dimension_is_one_row(double):
    assert double.predict(np.ones(4)).shape == (1, 4)


def test_the_signature_is_fetched_once(fake, double):
    for _ in range(3):
        double.predict(np.ones((1, 4)))
    assert fake.paths() == ["GET /endpoints/double"] + ["POST /v2/models/double/infer"] * 3


def test_the_signature_is_fetched_again_when_the_revision_changes(fake, fraud):
    data = {"age": np.array([41.0]), "job": np.array(["clerk"])}
    fraud.predict(data)
    fake.revision = 5
    fake.signatures["fraud"]["outputs"] = [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2], "labels": ["bad", "good"]},
    ]
    fake.requests.clear()
    assert fraud.predict(data).labels == ("bad", "good")
    assert fraud.predict(data).revision == 5
    assert fake.paths().count("GET /endpoints/fraud") == 1


def test_input_that_fits_only_the_new_signature_is_sent_again(fake, double):
    double.predict(np.ones((1, 4)))
    fake.revision = 5
    fake.signatures["double"]["inputs"] = [
        {"name": "x", "datatype": "FP32", "shape": [-1, 4]}, {"name": "z", "datatype": "FP32", "shape": [-1, 4]},
    ]  # fmt: skip
    ones = np.ones((1, 4), dtype=np.float32)
    np.testing.assert_array_equal(double.predict({"x": ones, "z": ones}), 2 * ones)


def test_several_outputs_are_a_prediction(fraud):
    got = fraud.predict({"age": np.array([41.0, np.nan]), "job": np.array(["clerk", "smith"])})
    assert isinstance(got, Prediction)
    assert list(got) == ["label", "probabilities"]
    assert got.label.tolist() == ["yes", "yes"]
    assert got["label"] is got.label
    np.testing.assert_array_equal(got.probabilities, [[0.25, 0.75]] * 2)
    assert (got.labels, got.model, got.version, got.revision) == (("no", "yes"), "fraud", 3, 2)
    assert "label: [2]" in repr(got)


def test_a_two_dimensional_array_is_columns_of_a_table(fake, fraud):
    fraud.predict(np.array([[41.0, "clerk"], [22.5, "smith"]], dtype=object)[:, :])
    assert fake.inputs["job"] == ["clerk", "smith"]


def test_a_structured_array_is_columns(fake, fraud):
    rows = np.array([(41.0, "clerk"), (22.5, "smith")], dtype=[("age", "f8"), ("job", "U9")])
    assert len(fraud.predict(rows)["label"]) == 2
    assert fake.inputs["age"].tolist() == [41.0, 22.5]


def test_the_wrong_names_are_refused_before_anything_is_sent(fake, fraud):
    with pytest.raises(InvalidInput, match=r"missing columns 'job'; unknown columns 'jobb'") as caught:
        fraud.predict({"age": np.array([1.0]), "jobb": np.array(["clerk"])})
    assert "age, job" in caught.value.help
    assert not any("infer" in path for path in fake.paths())


def test_one_array_for_many_inputs_is_refused(fraud):
    with pytest.raises(InvalidInput, match=r"\[2, 3\].*takes 2 inputs"):
        fraud.predict(np.zeros((2, 3)))


@pytest.mark.parametrize("value", [1e300, -1e300])
def test_what_does_not_fit_the_type_travels_as_json(fake, double, value):
    double_x = np.full((1, 4), value)
    fake.next_answers = [Canned(200, fake.card("double")), Canned(400, {"error": "out of the range of FP32"})]
    with pytest.raises(InvalidInput, match="out of the range"):
        double.predict(double_x)
    assert sent(fake)["x"]["data"] == [value] * 4


def test_an_open_model_takes_arrays_as_lists(fake, client):
    assert client.endpoint("echo").predict({"a": np.arange(3), "when": pd.Timestamp("2026-01-02")}) == {
        "a": [0, 1, 2], "when": "2026-01-02T00:00:00",
    }  # fmt: skip


# -- frames


def test_a_frame_in_is_a_frame_out_with_its_index(fake, fraud):
    frame = pd.DataFrame({"job": ["clerk", "smith"], "age": [41, 22]}, index=["a", "b"])
    got = fraud.predict(frame)
    assert got.columns.tolist() == ["label", "probability_no", "probability_yes"]
    assert got.index.tolist() == ["a", "b"]
    assert got["probability_yes"].tolist() == [0.75, 0.75]
    assert "binary_data_size" in sent(fake)["age"]["parameters"]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([41, None], dtype="Int64"),
        pd.Series([41.0, None]),
        pd.Series([41, None], dtype=object),
        pd.Series([41.0, np.nan], dtype="Float64"),
    ],
)
def test_missing_numbers_are_nan(fake, fraud, column):
    fraud.predict(pd.DataFrame({"age": column, "job": ["clerk", "smith"]}))
    np.testing.assert_array_equal(fake.inputs["age"], [41.0, np.nan])


@pytest.mark.parametrize("dtype", ["object", "str", "string", "category"])
def test_missing_text_travels_as_json_null(fake, fraud, dtype):
    fraud.predict(pd.DataFrame({"age": [1.0, 2.0], "job": pd.Series(["clerk", None], dtype=dtype)}))
    assert fake.inputs["job"] == ["clerk", None]
    fraud.predict(pd.DataFrame({"age": [1.0, 2.0], "job": pd.Series(["clerk", "smith"], dtype=dtype)}))
    assert fake.inputs["job"] == ["clerk", "smith"]
    assert "data" not in sent(fake)["job"]


def test_text_among_numbers_is_for_the_server_to_point_at(fake, fraud):
    with pytest.raises(InvalidInput, match="Row 1, input 'age': expected a number"):
        fraud.predict(pd.DataFrame({"age": ["old"], "job": ["clerk"]}))


def test_a_frame_for_one_array_input_is_that_array(double):
    frame = pd.DataFrame(np.ones((2, 4)), columns=list("abcd"), index=[7, 8])
    got = double.predict(frame)
    assert got.columns.tolist() == ["y_0", "y_1", "y_2", "y_3"]
    assert got.index.tolist() == [7, 8]


def test_as_frame_chooses_the_form(fraud, double):
    frame = pd.DataFrame({"age": [41.0], "job": ["clerk"]})
    assert isinstance(fraud.predict(frame, as_frame=False), Prediction)
    assert double.predict(np.ones((1, 4)), as_frame=True).shape == (1, 4)
    rows = fraud.predict([{"age": 1, "job": "clerk"}], as_frame=True)
    assert rows.columns.tolist() == ["label", "probability_no", "probability_yes"]


def test_two_columns_of_one_name_are_refused(fraud):
    frame = pd.DataFrame([[1.0, 2.0, "clerk"]], columns=["age", "age", "job"])
    with pytest.raises(InvalidInput, match="two columns of one name"):
        fraud.predict(frame)


# -- plain Python


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ([{"age": 41, "job": "clerk"}], [{"age": 41, "job": "clerk"}]),
        ({"age": 41, "job": "clerk"}, {"age": 41, "job": "clerk"}),
        ([[41, "clerk"]], [[41, "clerk"]]),
        ({"age": [41], "job": ["clerk"]}, {"age": [41], "job": ["clerk"]}),
        ([{"age": np.float32(41), "job": "clerk"}], [{"age": 41.0, "job": "clerk"}]),
        ([{"age": pd.NA, "job": "clerk"}], [{"age": None, "job": "clerk"}]),
    ],
)
def test_plain_python_in_is_plain_python_out(fake, fraud, data, body):
    assert fraud.predict(data) == [{"label": "yes", "probabilities": {"no": 0.25, "yes": 0.75}}]
    assert fake.paths() == ["POST /predict/fraud"]
    assert fake.requests[0].json == body


def test_a_list_of_arrays_is_rows(double):
    assert double.predict([np.ones(4)]) == [{"y": [2.0] * 4}]


@pytest.mark.parametrize("value", [3, 2.5, "text", None, True])
def test_a_scalar_is_a_body_of_its_own(fake, client, value):
    assert client.endpoint("echo").predict(value) == value


def test_the_example_predicts(fraud):
    assert fraud.predict(fraud.example()) == [{"label": "yes", "probabilities": {"no": 0.25, "yes": 0.75}}]


def test_metadata_says_what_the_endpoint_takes(fraud):
    found = fraud.metadata()
    assert (found.model, found.version, found.revision) == ("fraud", 3, 2)
    assert [spec.name for spec in found.signature.inputs] == ["age", "job"]


def test_a_value_that_json_has_not_is_refused(fraud):
    with pytest.raises(InvalidInput, match="type object cannot be sent"):
        fraud.predict([object()])


# -- errors


def test_errors_are_the_servers_own(client):
    with pytest.raises(NotFound, match="no endpoint 'nobody'") as caught:
        client.endpoint("nobody").predict([1])
    assert caught.value.help == "Look at the list."
    with pytest.raises(ModelFailed, match="raised ValueError"):
        client.endpoint("echo").predict("boom")
    with pytest.raises(NotFound):
        client.endpoint("nobody").predict(np.ones(3))


def test_the_deadline_is_told_to_the_server(fake, fraud):
    fraud.predict([{"age": 1, "job": "clerk"}], timeout=2.5)
    assert float(fake.requests[-1].headers["inferry-timeout"]) == 2.5
