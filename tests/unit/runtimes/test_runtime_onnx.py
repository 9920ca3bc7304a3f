"""ONNX models: signatures from the graph, classifiers by their own labels, batching only when proven."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from inferry.errors import InvalidInput, InvalidModel
from inferry.runtimes import onnx as runtime
from inferry.runtimes.onnx import OnnxRuntime
from inferry.runtimes.onnx_pair import Pair
from inferry.types.columns import sample_of
from tests.support.inspections import example_of
from tests.support.processes import wait_until

DATA, TARGET = load_iris(return_X_y=True)
DATA = DATA.astype(np.float32)


def graph(nodes, inputs, outputs, weights=(), ir_version=8, **more):
    made = helper.make_graph(
        [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
        "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    opsets = [helper.make_opsetid("", 17), *more.pop("opsets", [])]
    return helper.make_model(made, opset_imports=opsets, ir_version=ir_version)


def opened(tmp_path, model, sample=None):
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    inspection = OnnxRuntime().load(tmp_path, "model.onnx", {}, None).describe(sample)
    return inspection, OnnxRuntime().load(tmp_path, "model.onnx", {}, inspection.signature)


CLASSIFIERS = {
    "text labels, zipmap": (LogisticRegression(max_iter=500), np.array(["a", "b", "c"])[TARGET], {}),
    "text labels, matrix": (LogisticRegression(max_iter=500), np.array(["a", "b", "c"])[TARGET], {"zipmap": False}),
    "numbers, zipmap": (RandomForestClassifier(5, random_state=0), TARGET + 3, {}),
    "numbers, matrix": (RandomForestClassifier(5, random_state=0), TARGET + 3, {"zipmap": False}),
    "numbers with gaps, matrix": (KNeighborsClassifier(), TARGET * 2, {"zipmap": False}),
    "range, columns": (LogisticRegression(max_iter=500), TARGET, {"zipmap": False}),
    "text, knn, matrix": (KNeighborsClassifier(), np.array(["x", "y", "z"])[TARGET], {"zipmap": False}),
}


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_converted_classifiers_answer_labels_and_probabilities(tmp_path, case):
    fitted, target, options = CLASSIFIERS[case]
    fitted.fit(DATA, target)
    inspection, model = opened(tmp_path, to_onnx(fitted, DATA[:1], options={id(fitted): options} if options else None))
    label, probabilities = inspection.signature.outputs
    assert inspection.task == "classification"
    assert (label.name, probabilities.name) == ("label", "probabilities")
    assert list(probabilities.labels) == fitted.classes_.tolist()
    assert (probabilities.datatype, probabilities.shape) == ("FP32", (-1, 3))
    answer = model.predict({"X": DATA})
    assert answer["label"].tolist() == fitted.predict(DATA).tolist()
    np.testing.assert_allclose(answer["probabilities"], fitted.predict_proba(DATA), atol=1e-5)
    assert answer["probabilities"].dtype == np.float32
    assert inspection.signature.batchable
    assert set(inspection.answer[0]["probabilities"]) == {str(one) for one in fitted.classes_}


def test_a_regressor_keeps_its_output_name(tmp_path):
    data, target = load_diabetes(return_X_y=True)
    data = data.astype(np.float32)
    fitted = LinearRegression().fit(data, target)
    inspection, model = opened(tmp_path, to_onnx(fitted, data[:1]), sample_of(data[:8]))
    assert [spec.name for spec in inspection.signature.outputs] == ["variable"]
    assert inspection.task == ""
    np.testing.assert_allclose(model.predict({"X": data})["variable"].ravel(), fitted.predict(data), rtol=1e-3)


@pytest.fixture(scope="module")
def by_column():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"fare": rng.normal(50, 9, 80), "sex": rng.choice(["f", "m"], 80), "rooms": rng.integers(1, 4, 80)}
    )
    target = np.where(frame.fare > 50, "yes", "no")
    steps = make_column_transformer(
        (StandardScaler(), ["fare", "rooms"]), (OneHotEncoder(handle_unknown="ignore"), ["sex"])
    )
    fitted = make_pipeline(steps, LogisticRegression()).fit(frame, target)
    return frame, fitted, to_onnx(fitted, frame[:1], options={"zipmap": False})


@pytest.mark.parametrize("sampled", [True, False])
def test_one_input_a_column_is_a_table(tmp_path, by_column, sampled):
    frame, fitted, converted = by_column
    sample = sample_of(frame.head(6).to_dict(orient="records")) if sampled else None
    inspection, model = opened(tmp_path, converted, sample)
    assert inspection.signature.kind == "table"
    assert {spec.name: (spec.datatype, spec.shape) for spec in inspection.signature.inputs} == {
        "fare": ("FP64", (-1,)), "sex": ("BYTES", (-1,)), "rooms": ("INT64", (-1,)),
    }  # fmt: skip
    answer = model.predict(
        {"fare": frame.fare.to_numpy(), "sex": frame.sex.to_numpy(dtype=object), "rooms": frame.rooms.to_numpy()}
    )
    assert answer["label"].tolist() == fitted.predict(frame).tolist()
    assert isinstance(example_of(inspection), list)
    assert inspection.signature.batchable


def test_several_inputs_are_named_arrays(tmp_path):
    model = graph(
        [("Add", ["a", "b"], ["sum"]), ("Mul", ["a", "b"], ["product"])],
        [("a", TensorProto.FLOAT, ["n", 2]), ("b", TensorProto.FLOAT, ["n", 2])],
        [("sum", TensorProto.FLOAT, ["n", 2]), ("product", TensorProto.FLOAT, ["n", 2])],
    )
    inspection, loaded = opened(tmp_path, model, sample_of({"a": [[1, 2]], "b": [[3, 4]]}))
    assert example_of(inspection) == {"inputs": {"a": [[1.0, 2.0]], "b": [[3.0, 4.0]]}}
    assert inspection.answer == [{"sum": [4.0, 6.0], "product": [3.0, 8.0]}]
    assert inspection.signature.batchable
    ones = np.ones((2, 2), np.float32)
    assert loaded.predict({"a": ones, "b": ones})["sum"].tolist() == [[2, 2], [2, 2]]


UNBATCHABLE = {
    "mean over rows": [("ReduceMean", ["x"], ["m"], {"axes": [0], "keepdims": 1}), ("Sub", ["x", "m"], ["y"])],
    "softmax over rows": [("Softmax", ["x"], ["y"], {"axis": 0})],
    "every row the same": [("Mul", ["x", "zero"], ["y"])],
}


@pytest.mark.parametrize("case", UNBATCHABLE)
def test_a_free_first_dimension_that_is_not_rows_is_not_batched(tmp_path, case):
    model = graph(
        UNBATCHABLE[case],
        [("x", TensorProto.FLOAT, ["time", 3])],
        [("y", TensorProto.FLOAT, ["time", 3])],
        [("zero", np.zeros(1, np.float32))],
    )
    inspection, _ = opened(tmp_path, model)
    assert not inspection.signature.batchable


def test_two_inputs_whose_first_dimensions_differ_are_not_batched(tmp_path):
    model = graph(
        [("Transpose", ["b"], ["t"]), ("MatMul", ["a", "t"], ["y"])],
        [("a", TensorProto.FLOAT, ["n", 3]), ("b", TensorProto.FLOAT, ["m", 3])],
        [("y", TensorProto.FLOAT, ["n", "m"])],
    )
    inspection, _ = opened(tmp_path, model)
    assert not inspection.signature.batchable


def test_a_fixed_first_dimension_is_not_batched(tmp_path):
    model = graph([("Relu", ["x"], ["y"])], [("x", TensorProto.FLOAT, [1, 3])], [("y", TensorProto.FLOAT, [1, 3])])
    inspection, _ = opened(tmp_path, model)
    assert inspection.signature.inputs[0].shape == (1, 3)
    assert not inspection.signature.batchable


def test_text_goes_in_and_out(tmp_path):
    model = graph([("Identity", ["x"], ["y"])], [("x", TensorProto.STRING, ["n"])], [("y", TensorProto.STRING, ["n"])])
    inspection, loaded = opened(tmp_path, model, sample_of(["é", "b"]))
    assert inspection.signature.inputs[0].datatype == "BYTES"
    assert inspection.answer == [{"y": "é"}, {"y": "b"}]
    assert loaded.predict({"x": np.array(["ü".encode(), "z"], dtype=object)})["y"].tolist() == ["ü", "z"]


def test_free_dimensions_get_a_size_that_the_model_takes(tmp_path):
    model = graph(
        [("Conv", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [("y", TensorProto.FLOAT, ["n", 1, None, None])],
        [("w", np.ones((1, 1, 5, 5), np.float32))],
    )
    inspection, _ = opened(tmp_path, model)
    assert np.shape(example_of(inspection)["inputs"]) == (1, 1, 8, 8)
    assert inspection.signature.batchable


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([[1.0, 2.0]], "shape \\[1, 2\\]"),
        ({"other": [[1.0, 2.0, 3.0]]}, "no 'x'"),
        ([{"a": 1, "b": 2}], "2 columns, the model takes 3"),
        ("words", "not made of rows"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(tmp_path, value, said):
    model = graph([("Relu", ["x"], ["y"])], [("x", TensorProto.FLOAT, ["n", 3])], [("y", TensorProto.FLOAT, ["n", 3])])
    with pytest.raises(InvalidInput, match=said):
        opened(tmp_path, model, sample_of(value))


def test_whole_number_inputs_refuse_fractions(tmp_path):
    model = graph(
        [("Identity", ["x"], ["y"])], [("x", TensorProto.INT64, ["n", 2])], [("y", TensorProto.INT64, ["n", 2])]
    )
    inspection, _ = opened(tmp_path, model, sample_of([[1.0, 2.0], [3, 4]]))
    assert example_of(inspection) == {"inputs": [[1, 2], [3, 4]]}
    with pytest.raises(InvalidInput, match="not INT64"):
        opened(tmp_path, model, sample_of([[1.5, 2.0]]))


def custom():
    return graph(
        [("Fancy", ["x"], ["y"], {"domain": "acme"})],
        [("x", TensorProto.FLOAT, ["n"])],
        [("y", TensorProto.FLOAT, ["n"])],
        opsets=[helper.make_opsetid("acme", 1)],
    ).SerializeToString()


def relu(**how):
    return graph(
        [("Relu", ["x"], ["y"])], [("x", TensorProto.FLOAT, ["n"])], [("y", TensorProto.FLOAT, ["n"])], **how
    ).SerializeToString()


def outside():
    model = graph(
        [("Add", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", 64])],
        [("y", TensorProto.FLOAT, ["n", 64])],
        [("w", np.ones((64,), np.float32))],
    )
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin", 0, 256)
    model.graph.initializer[0].ClearField("raw_data")
    return model.SerializeToString()


REFUSED = {
    "custom operator": (custom, "Fancy"),
    "truncated": (lambda: relu()[:-9], "corrupt or truncated"),
    "not a model": (lambda: b"\x08\x08" + b"x" * 40, "corrupt or truncated"),
    "too new": (lambda: relu(ir_version=99), "newer onnxruntime"),
    "no weights": (outside, "another file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_onnxruntime_cannot_load_is_refused_in_words(tmp_path, case):
    make, said = REFUSED[case]
    (tmp_path / "model.onnx").write_bytes(make())
    with pytest.raises(InvalidModel, match=said) as refusal:
        OnnxRuntime().load(tmp_path, "model.onnx", {}, None)
    assert refusal.value.help
    assert str(tmp_path) not in refusal.value.sentence()
    assert "0x" not in refusal.value.sentence()


def test_external_data_beside_the_model_is_read(tmp_path):
    (tmp_path / "weights.bin").write_bytes(np.ones(64, np.float32).tobytes())
    (tmp_path / "model.onnx").write_bytes(outside())
    model = OnnxRuntime().load(tmp_path, "model.onnx", {}, None)
    assert model.predict({"x": np.zeros((1, 64), np.float32)})["y"].sum() == 64


def test_what_the_session_refuses_is_the_callers_fault(tmp_path):
    model = graph([("Relu", ["x"], ["y"])], [("x", TensorProto.FLOAT, ["n", 3])], [("y", TensorProto.FLOAT, ["n", 3])])
    _, loaded = opened(tmp_path, model)
    with pytest.raises(InvalidInput, match="refuses this input"):
        loaded.predict({"x": np.zeros((1, 4), np.float32)})


def test_threads_can_be_asked_for(tmp_path):
    (tmp_path / "model.onnx").write_bytes(relu())
    model = OnnxRuntime().load(tmp_path, "model.onnx", {"threads": 2}, None)
    assert model._session.get_session_options().intra_op_num_threads == 2


WIDE = graph(
    [("Gemm", ["x", "w", "b"], ["y"])],
    [("x", TensorProto.FLOAT, ["n", 64])],
    [("y", TensorProto.FLOAT, ["n", 8])],
    [("w", np.eye(64, 8, dtype=np.float32)), ("b", np.zeros(8, np.float32))],
)


def test_calls_that_meet_run_with_one_thread_each_and_answer_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "later", lambda make, use: use(make()))
    (tmp_path / "model.onnx").write_bytes(WIDE.SerializeToString())
    model = OnnxRuntime().load(tmp_path, "model.onnx", {"threads": 2, "calls": 2}, None)
    rows = np.random.default_rng(0).random((400, 1, 64), dtype=np.float32)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: model.predict({"x": row})["y"], rows))
    assert np.array_equal(found, rows[:, :, :8])
    assert np.array_equal(model.predict({"x": rows[0]})["y"], rows[0][:, :8])


def test_the_second_session_comes_behind_the_first_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "BEHIND_S", 0.3)
    (tmp_path / "model.onnx").write_bytes(WIDE.SerializeToString())
    model = OnnxRuntime().load(tmp_path, "model.onnx", {"threads": 2, "calls": 2}, None)
    assert not isinstance(model._session, Pair)
    assert model.predict({"x": np.ones((1, 64), np.float32)})["y"].shape == (1, 8)
    wait_until(lambda: isinstance(model._session, Pair), 60, "calls that meet have a session of their own")


@pytest.mark.parametrize(
    ("options", "twice"),
    [
        ({}, False),
        ({"threads": 2}, False),
        ({"threads": 2, "calls": 2}, True),
        ({"threads": 2, "try_threads": 2}, True),
        ({"threads": 1, "try_threads": 2}, True),
        ({"threads": 1, "try_threads": 1}, False),
    ],
)
def test_a_model_is_opened_twice_only_where_both_may_be_of_use(tmp_path, monkeypatch, options, twice):
    monkeypatch.setattr(runtime, "later", lambda make, use: use(make()))
    (tmp_path / "model.onnx").write_bytes(WIDE.SerializeToString())
    model = OnnxRuntime().load(tmp_path, "model.onnx", options, None)
    assert isinstance(model._session, Pair) == twice
    (tmp_path / "weights.bin").touch()
    os.truncate(tmp_path / "weights.bin", 65 << 20)
    assert not isinstance(OnnxRuntime().load(tmp_path, "model.onnx", options, None)._session, Pair)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_that_tries_both_ways_answers_the_same(tmp_path, monkeypatch, threads):
    monkeypatch.setattr(runtime, "later", lambda make, use: use(make()))
    (tmp_path / "model.onnx").write_bytes(WIDE.SerializeToString())
    model = OnnxRuntime().load(tmp_path, "model.onnx", {"threads": threads, "try_threads": 2}, None)
    rows = np.random.default_rng(0).random((600, 1, 64), dtype=np.float32)
    assert np.array_equal([model.predict({"x": row})["y"] for row in rows], rows[:, :, :8])
