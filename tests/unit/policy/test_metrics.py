"""Metrics: against values worked out by hand, against scikit-learn, and what must hold of any."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.policy import metrics

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)
NUMBERS = st.floats(-1e6, 1e6)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=40)
SCORED = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=2, max_size=40)

FEW = settings(max_examples=15, deadline=None)


def columns(pairs):
    return tuple(np.array(column) for column in zip(*pairs, strict=True))


def test_every_metric_worked_out_by_hand():
    truth = np.array(["no", "no", "yes", "yes", "yes"])
    said = np.array(["no", "yes", "yes", "yes", "no"])
    assert metrics.accuracy(truth, said) == pytest.approx(0.6)
    assert metrics.precision(truth, said, "yes") == pytest.approx(2 / 3)
    assert metrics.recall(truth, said, "yes") == pytest.approx(2 / 3)
    assert metrics.f1(truth, said, "yes") == pytest.approx(2 / 3)
    assert metrics.f1(truth, said) == pytest.approx((2 / 3 + 1 / 2) / 2)
    codes = np.array([0, 0, 1, 1, 1])
    chances = np.array([0.1, 0.6, 0.8, 0.6, 0.4])
    both = np.column_stack([1 - chances, chances])
    assert metrics.auc(codes == 1, chances) == pytest.approx((3 + 1.5) / 6)  # one tie, one pair the wrong way
    assert metrics.log_loss(codes, both) == pytest.approx(-np.mean(np.log([0.9, 0.4, 0.8, 0.6, 0.4])))
    assert metrics.brier(codes, both) == pytest.approx(np.mean([0.01, 0.36, 0.04, 0.16, 0.36]))
    real, guess = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0])
    assert metrics.mae(real, guess) == pytest.approx(1.0)
    assert metrics.rmse(real, guess) == pytest.approx(math.sqrt(5 / 3))
    assert metrics.r2(real, guess) == pytest.approx(1 - 5 / (14 / 3))


def test_what_the_rows_do_not_define_is_not_a_number():
    none, ones = np.array([]), np.array([1.0, 1.0])
    for metric in (metrics.accuracy, metrics.f1, metrics.mae, metrics.rmse, metrics.r2):
        assert math.isnan(metric(none, none))
    assert math.isnan(metrics.r2(ones, ones))
    assert math.isnan(metrics.auc(ones == 1, ones))
    assert math.isnan(metrics.auc(np.array([True, False]), np.array([math.nan, 0.5])))
    assert math.isnan(metrics.log_loss(np.array([], int), np.zeros((0, 2))))
    assert math.isnan(metrics.brier(np.array([], int), np.zeros((0, 2))))


def test_a_class_that_the_model_does_not_know_costs_as_much_as_a_sure_mistake():
    assert metrics.log_loss(np.array([-1]), np.array([[0.5, 0.5]])) == pytest.approx(
        -math.log(np.finfo(float).eps), rel=1e-6
    )


@FEW
@given(LABELS)
def test_labels_as_scikit_learn_has_them(pairs):
    from sklearn import metrics as known

    truth, said = columns(pairs)
    assert metrics.accuracy(truth, said) == pytest.approx(known.accuracy_score(truth, said))
    for name in ("precision", "recall", "f1"):
        theirs = getattr(known, f"{name}_score")
        assert getattr(metrics, name)(truth, said) == pytest.approx(
            theirs(truth, said, average="macro", zero_division=0)
        )
        one = theirs(truth, said, labels=[1], average="macro", zero_division=0)
        assert getattr(metrics, name)(truth, said, 1) == pytest.approx(one)


@FEW
@given(SCORED)
def test_scores_as_scikit_learn_has_them(pairs):
    from sklearn import metrics as known

    truth, scores = columns(pairs)
    both = np.column_stack([1 - scores, scores])
    codes = truth.astype(int)
    assert metrics.brier(codes, both) == pytest.approx(known.brier_score_loss(truth, scores))
    assert metrics.log_loss(codes, both) == pytest.approx(known.log_loss(truth, both, labels=[False, True]), rel=1e-6)
    if 0 < truth.sum() < len(truth):
        assert metrics.auc(truth, scores) == pytest.approx(known.roc_auc_score(truth, scores))


@FEW
@given(PAIRS)
def test_numbers_as_scikit_learn_has_them(pairs):
    from sklearn import metrics as known

    truth, said = columns(pairs)
    assert metrics.mae(truth, said) == pytest.approx(known.mean_absolute_error(truth, said))
    assert metrics.rmse(truth, said) == pytest.approx(known.root_mean_squared_error(truth, said))
    if np.ptp(truth) > 1e-3:
        assert metrics.r2(truth, said) == pytest.approx(known.r2_score(truth, said), rel=1e-6, abs=1e-6)


@FEW
@given(st.lists(st.integers(0, 2), min_size=6, max_size=30), st.integers(0, 99))
def test_many_classes_as_scikit_learn_has_them(codes, seed):
    from sklearn import metrics as known

    codes = np.array([0, 1, 2, *codes])
    chances = np.random.default_rng(seed).dirichlet([1, 1, 1], size=len(codes))
    assert metrics.log_loss(codes, chances) == pytest.approx(known.log_loss(codes, chances))
    assert metrics.auc_of_classes(codes, chances) == pytest.approx(
        known.roc_auc_score(codes, chances, multi_class="ovr")
    )


@FEW
@given(SCORED)
def test_scores_turned_round_rank_the_other_way(pairs):
    truth, scores = columns(pairs)
    if 0 < truth.sum() < len(truth):
        assert metrics.auc(truth, -scores) == pytest.approx(1 - metrics.auc(truth, scores))


@FEW
@given(PAIRS, st.randoms())
def test_the_order_of_rows_does_not_matter(pairs, random):
    truth, said = columns(pairs)
    random.shuffle(pairs)
    again, said_again = columns(pairs)
    for name in ("mae", "rmse", "r2"):
        metric = getattr(metrics, name)
        assert metric(truth, said) == pytest.approx(metric(again, said_again), nan_ok=True, rel=1e-6, abs=1e-9)


def test_every_metric_is_listed_with_what_it_takes():
    assert set(metrics.KINDS) > metrics.SMALLER_IS_BETTER
    assert all(hasattr(metrics, name) for name in metrics.KINDS)
