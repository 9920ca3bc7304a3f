"""What an estimator works out for one output is not worked out again for the next, and no answer changes by that."""

from __future__ import annotations

import inspect
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.covariance import EllipticEnvelope
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDOneClassSVM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from sklearn.utils import all_estimators

from inferry.runtimes.once import SCORES, Once
from inferry.runtimes.sklearn import SklearnRuntime

X, Y = load_iris(return_X_y=True)
OUTLIERS = IsolationForest, OneClassSVM, EllipticEnvelope, SGDOneClassSVM
TWO = make_classification(60, 4, random_state=0)


def fitted():
    """Every classifier of scikit-learn that can be made without another estimator, and its outlier detectors."""
    for name, make in [*all_estimators("classifier"), *((make.__name__, make) for make in OUTLIERS)]:
        needed = [each for each in inspect.signature(make).parameters.values() if each.default is each.empty]
        if not needed and name != "SelfTrainingClassifier":
            yield pytest.param(make, id=name)


def outputs(model, methods, rows):
    found = {}
    for name in methods:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name] = np.asarray(getattr(model, name)(rows))
    return found


@pytest.mark.parametrize("make", list(fitted()))
@pytest.mark.parametrize("data", [(X, Y), TWO], ids=["three", "two"])
def test_no_estimators_answer_changes(make, data):
    rows, labels = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make().fit(np.abs(rows), labels)
    methods = [name for name in ("predict", *SCORES) if callable(getattr(model, name, None))]
    plain = outputs(model, methods, np.abs(rows))
    once = Once(model)
    for _ in range(2):
        asked = np.abs(rows)
        for name in methods:
            once.output()
            assert np.array_equal(outputs(model, [name], asked)[name], plain[name]), name
        once.forget()


class Counting(TransformerMixin, BaseEstimator):
    """Passes rows on, and counts how often."""

    calls = 0

    def fit(self, rows, labels=None):
        self.n_features_in_ = rows.shape[1]
        return self

    def transform(self, rows):
        type(self).calls += 1
        return rows * 1.0


def test_a_pipeline_transforms_a_request_once(tmp_path):
    model = make_pipeline(Counting(), StandardScaler(), LogisticRegression(max_iter=500)).fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib")
    served = SklearnRuntime().load(tmp_path, "model.joblib", {}, None)
    signature = served.describe(None).signature
    name = signature.inputs[0].name
    Counting.calls = 0
    for row in X[::10]:
        answer = served.predict({name: row.reshape(1, -1)})
        assert answer["label"] == model.predict(row.reshape(1, -1))
        assert np.array_equal(answer["probabilities"], model.predict_proba(row.reshape(1, -1)))
    served_calls = Counting.calls - 2 * len(X[::10])
    assert served_calls == len(X[::10])


def test_equal_rows_of_another_request_are_computed_anew():
    model = RandomForestClassifier(5, random_state=0).fit(X, Y)
    once = Once(model)
    rows = X[:3].copy()
    once.output()
    first = model.predict_proba(rows)
    once.forget()
    rows[:] = X[100:103]
    once.output()
    assert not np.array_equal(model.predict_proba(rows), first)


class Changing(ClassifierMixin, BaseEstimator):
    """Asks its own scores twice about one array that it changes in between."""

    def fit(self, rows, labels):
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, rows):
        high = (rows[:, :1] > 0).astype(float)
        return np.hstack([1 - high, high])

    def predict(self, rows):
        first = self.predict_proba(rows)
        rows *= -1
        second = self.predict_proba(rows)
        rows *= -1
        return self.classes_[(first + 0.4 * second).argmax(axis=1)]


def test_whoever_changes_the_rows_between_questions_is_answered_anew():
    rows = np.array([[1.0], [-1.0]])
    model = Changing().fit(rows, [0, 1])
    plain = model.predict(rows.copy()), model.predict_proba(rows)
    once = Once(model)
    once.output()
    assert np.array_equal(model.predict(rows), plain[0])
    once.output()
    assert np.array_equal(model.predict_proba(rows), plain[1])


def test_other_arguments_are_another_question():
    class Scaled(Changing):
        def predict_proba(self, rows, scale=1.0, **options):
            return super().predict_proba(rows) * scale * options.get("times", 1)

    model = Scaled().fit(X, Y)
    once = Once(model)
    once.output()
    whole = model.predict_proba(X)
    once.output()
    assert np.array_equal(model.predict_proba(X, scale=0.5), whole / 2)
    once.output()
    assert np.array_equal(model.predict_proba(X, times=3), whole * 3)


def test_an_answer_that_is_changed_by_its_reader_stays_as_it_was():
    model = LogisticRegression(max_iter=500).fit(X, Y)
    once = Once(model)
    once.output()
    scores = model.decision_function(X).copy()
    once.output()
    model.predict_proba(X)  # works in place on what decision_function gives it
    once.output()
    assert np.array_equal(model.decision_function(X), scores)
