"""Quality: the figures agree with scikit-learn, and the intervals cover what they say."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn import metrics as sk

from inferry.policy.quality import measure, outcomes, share
from inferry.types.feedback import Capture, Joined, Prediction, Truth


def joined(prediction, truth, **values):
    predictions = prediction if isinstance(prediction, tuple) else (prediction,)
    capture = Capture(
        endpoint="e", request="r", model="m", version=1, revision=1, at=0.0, key="k", predictions=predictions
    )
    return Joined(
        capture=capture,
        truth=Truth(endpoint="e", request="r", truth=truth, values=values, at=0.0, received=0.0, matched=1.0),
    )


def figures(rows, captured=0):
    found = measure(1, rows, captured)
    return found, {metric.name: metric for metric in found.metrics}


def scored(labels, size=300, seed=3):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, len(labels), size)
    raw = rng.random((size, len(labels))) + 0.7 * np.eye(len(labels))[true]
    shares = np.round(raw / raw.sum(1, keepdims=True), 9)
    rows = [
        joined(
            Prediction(label=labels[s.argmax()], scores=dict(zip(map(str, labels), s.tolist(), strict=True))), labels[t]
        )
        for s, t in zip(shares, true, strict=True)
    ]
    return rows, true, shares


def test_two_classes() -> None:
    rows, true, shares = scored(["no", "yes"])
    found, by = figures(rows, 400)
    said = shares.argmax(1)
    assert (found.task, found.joined, found.captured) == ("classes", 300, 400)
    assert by["accuracy"].value == pytest.approx(sk.accuracy_score(true, said))
    assert by["precision"].value == pytest.approx(sk.precision_score(true, said))
    assert by["recall"].value == pytest.approx(sk.recall_score(true, said))
    assert by["f1"].value == pytest.approx(sk.f1_score(true, said))
    assert by["auc"].value == pytest.approx(sk.roc_auc_score(true, shares[:, 1]))
    assert by["log_loss"].value == pytest.approx(sk.log_loss(true, shares))
    assert by["brier"].value == pytest.approx(sk.brier_score_loss(true, shares[:, 1]))
    for name in ("accuracy", "precision", "recall", "auc", "log_loss", "brier"):
        assert by[name].low < by[name].value < by[name].high


def test_several_classes() -> None:
    rows, true, shares = scored([4, 7, 9])
    found, by = figures(rows)
    said = shares.argmax(1)
    assert by["precision"].value == pytest.approx(sk.precision_score(true, said, average="macro"))
    assert by["recall"].value == pytest.approx(sk.recall_score(true, said, average="macro"))
    assert by["f1"].value == pytest.approx(sk.f1_score(true, said, average="macro"))
    assert by["auc"].value == pytest.approx(sk.roc_auc_score(true, shares, multi_class="ovr"))
    assert by["log_loss"].value == pytest.approx(sk.log_loss(true, shares))
    assert sorted(one.label for one in found.classes) == ["4", "7", "9"]


def test_numbers() -> None:
    rng = np.random.default_rng(5)
    true = rng.normal(100, 20, 200)
    said = true + rng.normal(1, 5, 200)
    found, by = figures([joined(Prediction(value=s), t) for s, t in zip(said.tolist(), true.tolist(), strict=True)])
    assert found.task == "numbers"
    assert by["mae"].value == pytest.approx(sk.mean_absolute_error(true, said))
    assert by["rmse"].value == pytest.approx(sk.mean_squared_error(true, said) ** 0.5)
    assert by["r2"].value == pytest.approx(sk.r2_score(true, said))
    assert by["rmse"].low < by["rmse"].value < by["rmse"].high


@pytest.mark.parametrize(
    ("prediction", "truth", "right"),
    [
        (Prediction(label=1, value=1.0), 1, 1.0),
        (Prediction(label=1, value=1.0), True, 1.0),
        (Prediction(label=1, value=1.0), "1", 1.0),
        (Prediction(label=0, value=0.0), False, 1.0),
        (Prediction(label=True), 1, 1.0),
        (Prediction(label="a"), "b", 0.0),
        (Prediction(label=2, value=2.0), 2.0, 1.0),
        (Prediction(value=0.8), True, 1.0),
        (Prediction(value=0.2), 1, 0.0),
    ],
)
def test_one_class_in_several_spellings(prediction, truth, right) -> None:
    assert outcomes(joined(prediction, truth))["accuracy"] == [right]
    assert figures([joined(prediction, truth)])[0].task == "classes"


def test_outcomes_of_numbers_and_values() -> None:
    found = outcomes(joined(Prediction(value=3.0), 5.5, profit=2.0))
    assert found == {"absolute_error": [2.5], "squared_error": [6.25], "profit": [2.0]}
    rows = (Prediction(label="a"), Prediction(label="b"), Prediction(label="c"))
    assert outcomes(joined(rows, ["a", None, "b"]))["accuracy"] == [1.0, 0.0]
    assert outcomes(joined((), None, clicks=1.0)) == {"clicks": [1.0]}


def test_nothing_known_says_nothing() -> None:
    found, by = figures([], 7)
    assert (found.task, found.captured, by) == ("", 7, {})
    found, by = figures([joined(Prediction(), 1), joined((), 2)])
    assert (found.joined, by) == (2, {})


def test_wilsons_interval_covers() -> None:
    rng = random.Random(1)
    inside = 0
    for _ in range(600):
        hits = sum(rng.random() < 0.9 for _ in range(60))
        found = share("accuracy", hits, 60)
        inside += found.low <= 0.9 <= found.high
    assert inside / 600 > 0.92
