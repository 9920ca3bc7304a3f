"""Models become ONNX only where every answer stays what it was: the traps that are known, one by one."""

from __future__ import annotations

import dataclasses
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import (
    compose,
    ensemble,
    feature_extraction,
    impute,
    linear_model,
    naive_bayes,
    neighbors,
    pipeline,
    svm,
    tree,
)
from sklearn import preprocessing as prep
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from inferry import plugins
from inferry.errors import InferryError, InvalidInput, InvalidModel
from inferry.runtimes.answersheet import read_sheet, write_sheet
from inferry.runtimes.checkrows import draw
from inferry.runtimes.conversion import convert
from inferry.runtimes.conversion_check import check
from inferry.runtimes.onnx import OnnxRuntime
from inferry.runtimes.sklearn import SklearnRuntime
from inferry.types.columns import sample_of
from inferry.types.sample import Sample
from inferry.types.signature import TensorSpec

pipe, scale = pipeline.make_pipeline, prep.StandardScaler


class Tried:
    """A fitted estimator after its conversion: both models, and what was found."""

    def __init__(self, folder, fitted, sample) -> None:
        joblib.dump(fitted, folder / "m.joblib")
        described = SklearnRuntime().load(folder, "m.joblib", {}, None).describe(sample)
        self.signature = described.signature
        self.native = SklearnRuntime().load(folder, "m.joblib", {}, self.signature)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's own
            self.made = convert("sklearn", self.native, self.signature, sample, folder)
        self.found = check(folder, self.made.drafts, self.signature)
        self.sheet = read_sheet(folder / "checks.npz")
        if self.found.chosen >= 0:
            draft = self.made.drafts[self.found.chosen]
            self.served = OnnxRuntime().load(folder, draft.file, {"plan": draft.plan}, self.signature)

    def same(self, inputs) -> None:
        """Both give the same answers, or the same refusal."""
        try:
            wanted = self.native.predict(dict(inputs))
        except InferryError as error:
            with pytest.raises(type(error)) as refused:
                self.served.predict(dict(inputs))
            assert refused.value.message == error.message
            return
        got = self.served.predict(dict(inputs))
        assert list(got) == list(wanted)
        for name, array in wanted.items():
            assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
            if array.dtype.kind == "f":
                np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5)
            else:
                assert got[name].tolist() == array.tolist()


def matrix(rows) -> Sample:
    return Sample(kind="tensors", tensors={"": rows})


NUMBERS = {
    "labels as text": (load_iris, lambda: linear_model.LogisticRegression(max_iter=500), "text"),
    "trees round to 32 bits": (load_wine, lambda: ensemble.RandomForestClassifier(20, random_state=0), ""),
    "trees after a scaler": (load_wine, lambda: pipe(scale(), ensemble.RandomForestClassifier(20, random_state=0)), ""),
    "booleans where onnx wants integers": (load_breast_cancer, ensemble.HistGradientBoostingClassifier, ""),
    "no probabilities": (load_breast_cancer, lambda: pipe(scale(), svm.LinearSVC(random_state=0)), ""),
    "a score": (load_wine, lambda: ensemble.IsolationForest(n_estimators=10, random_state=0), ""),
    "a regression": (load_diabetes, lambda: ensemble.GradientBoostingRegressor(random_state=0), ""),
    "another family": (load_iris, naive_bayes.GaussianNB, "text"),
}  # fmt: skip


@pytest.mark.parametrize("case", NUMBERS)
def test_an_equal_model_answers_and_refuses_as_the_native_one(tmp_path, case):
    load, make, kind = NUMBERS[case]
    rows, target = load(return_X_y=True)
    target = np.array([f"kind {one}" for one in target], dtype=object) if kind == "text" else target
    tried = Tried(tmp_path, make().fit(rows[::2], target[::2]), matrix(rows[::4]))
    assert tried.found.reason == ""
    assert tried.found.batch_us["1"] > 0
    name = tried.signature.inputs[0].name
    tried.same({name: rows[1::2]})
    for value in (np.nan, np.inf, -np.inf):
        changed = rows[:3].copy()
        changed[1, 2] = value
        tried.same({name: changed})
    tried.same({name: rows[:0]})


def test_answers_to_nan_that_depend_on_the_machine_are_refused_in_place_of_given(tmp_path, monkeypatch):
    real = plugins.load("inferry.converters", "sklearn")
    by_machine = lambda *given: dataclasses.replace(real(*given), by_machine=True)  # noqa: E731
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda kind, name: by_machine if "conv" in kind else load(kind, name))
    rows, target = load_breast_cancer(return_X_y=True)
    tried = Tried(tmp_path, ensemble.HistGradientBoostingClassifier().fit(rows, target), matrix(rows[::9]))
    drafts = tried.made.drafts
    strict = tuple(draft for draft in drafts if not draft.wary)
    assert drafts[: len(strict)] == strict, "they come first"
    assert not drafts[tried.found.chosen].wary, "equal to NaN too: nothing is refused"

    for name in tried.sheet["answers.strange"]:  # as if other kernels had answered
        tried.sheet["answers.strange"][name] = tried.sheet["answers.strange"][name][::-1] + 1
    write_sheet(tmp_path / "checks.npz", tried.sheet)
    assert "not equal" in check(tmp_path, strict, tried.signature).reason
    wary = drafts[check(tmp_path, drafts, tried.signature).chosen]
    assert wary.wary
    served = OnnxRuntime().load(tmp_path, wary.file, {"plan": wary.plan}, tried.signature)
    changed = rows[:3].copy()
    changed[1, 2] = np.nan
    name = tried.signature.inputs[0].name
    with pytest.raises(InvalidInput, match="depends on the machine"):
        served.predict({name: changed})
    assert (
        served.predict({name: rows[:3]})["label"].tolist() == tried.native.predict({name: rows[:3]})["label"].tolist()
    )


def test_values_beyond_32_bits_are_refused(tmp_path):
    rows, target = load_iris(return_X_y=True)
    tried = Tried(tmp_path, linear_model.LogisticRegression(max_iter=500).fit(rows, target), matrix(rows[::4]))
    with pytest.raises(InvalidInput, match="beyond the range of 32-bit floats"):
        tried.served.predict({"x": np.full((1, 4), 1e200)})


def table(count=60):
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "age": random.integers(18, 80, count),
            "income": np.where(random.random(count) < 0.2, np.nan, random.normal(40, 9, count).round(2)),
            "job": random.choice(["clerk", "nurse", "pilot"], count),
            "member": random.random(count) < 0.5,
        }
    )


@pytest.mark.parametrize("unknown", ["error", "ignore"])
def test_a_table_stays_a_table(tmp_path, unknown):
    frame = table()
    columns = compose.make_column_transformer(
        (pipe(impute.SimpleImputer(), scale()), ["age", "income"]),
        (prep.OneHotEncoder(handle_unknown=unknown), ["job"]),
    )  # fmt: skip
    fitted = pipe(columns, linear_model.LogisticRegression()).fit(
        frame, (frame.age > 40).map({True: "old", False: "young"})
    )
    records = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    tried = Tried(tmp_path, fitted, sample_of(records))
    assert tried.found.reason == ""
    assert tried.signature.kind == "table"
    inputs = {name: frame[name].to_numpy() for name in frame.columns}
    inputs["age"], inputs["job"] = inputs["age"].astype(np.float64), inputs["job"].astype(object)
    tried.same(inputs)
    for strange in ("", "astronaut", "NURSE", "nan"):
        job = inputs["job"].copy()
        job[2] = strange
        tried.same({**inputs, "job": job})


def test_text_is_cut_into_words_as_python_does(tmp_path):
    texts = ["good film", "bad film", "Ärger über den Film", "très bon", "so bad, so sad", "a good GOOD day"] * 4
    target = [1, 0, 0, 1, 0, 1] * 4
    fitted = pipe(feature_extraction.text.TfidfVectorizer(ngram_range=(1, 2)), linear_model.LogisticRegression())
    tried = Tried(tmp_path, fitted.fit(texts, target), sample_of([{"text": text} for text in texts]))
    assert tried.found.reason == ""
    strange = [
        "ÄRGER ÜBER DEN FILM",
        "TRÈS BON!",
        "",
        "東京 good",
        "bad_film x",
        "İSTANBUL",
        "good\tfilm\n",
        "don't 42",
    ]
    tried.same({"text": np.array(strange, dtype=object)})


def test_a_model_that_is_not_equal_is_found_out(tmp_path):
    rows, target = load_iris(return_X_y=True)
    parts = [("a", linear_model.LogisticRegression(max_iter=500)), ("b", tree.DecisionTreeClassifier(random_state=0))]
    fitted = ensemble.VotingClassifier(parts, voting="soft").fit(rows[::2], target[::2])
    tried = Tried(tmp_path, fitted, matrix(rows[::2]))
    assert tried.found.chosen == -1
    assert tried.found.reason.startswith("not equal: ")


class Own(linear_model.LinearRegression):
    """An estimator that no converter knows."""


UNKNOWN = {
    "an estimator of one's own": (Own, "there is no converter for Own"),
    "neighbours": (
        neighbors.KNeighborsRegressor,
        "it looks for neighbours, and where distances tie ONNX picks others",
    ),
    "text beside other columns": (None, "it reads text beside other columns"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_why_a_model_cannot_be_converted(tmp_path, case):
    make, said = UNKNOWN[case]
    if make is None:
        frame = table().assign(note=["good day", "bad night"] * 30)
        columns = compose.make_column_transformer(
            (feature_extraction.text.TfidfVectorizer(), "note"), ("passthrough", ["age"])
        )
        fitted = pipe(columns, linear_model.Ridge()).fit(frame[["note", "age"]], frame.age)
        sample = sample_of(frame[["note", "age"]].to_dict(orient="records"))
    else:
        rows, target = load_diabetes(return_X_y=True)
        fitted, sample = make().fit(rows, target), matrix(rows[:9])
    with pytest.raises(InvalidModel) as error:
        Tried(tmp_path, fitted, sample)
    assert error.value.message == said


def test_rows_to_compare_on_are_the_same_each_time_and_stand_where_trees_decide():
    rows = {"x": np.array([[0.1, 5.0], [0.2, 6.0], [0.4, 7.0]])}
    specs = (TensorSpec(name="x", datatype="FP64", shape=(-1, 2)),)
    drawn = draw(rows, specs, {"x": [np.array([0.33]), np.array([])]}, sampled=True)["x"]
    assert drawn.shape == (203, 2)
    assert drawn[:3].tolist() == rows["x"].tolist()
    assert {0.15000000000000002, 0.33, float(np.float32(0.33))} <= set(drawn[:, 0])
    assert drawn[:, 0].max() > 0.5
    again = draw(rows, specs, {"x": [np.array([0.33]), np.array([])]}, sampled=True)["x"]
    assert again.tolist() == drawn.tolist()


def test_an_answer_sheet_keeps_text_and_holds_no_pickle(tmp_path):
    text = np.array(["ä", "", None, "x\0"], dtype=object)
    write_sheet(
        tmp_path / "s.npz", {"inputs": {"a b/c": text, "n": np.array([1.5, np.nan])}, "answers": {"y": text[:1]}}
    )
    read = read_sheet(tmp_path / "s.npz")
    assert read["inputs"]["a b/c"].tolist() == text.tolist()
    assert read["answers"]["y"].tolist() == ["ä"]
    np.savez(tmp_path / "p.npz", **{"inputs/0/name": np.array([120], np.uint8), "inputs/0/array": text})
    with pytest.raises(InvalidModel):
        read_sheet(tmp_path / "p.npz")
