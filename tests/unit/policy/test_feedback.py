"""Feedback: what becomes of an item, whatever order things come in."""

from __future__ import annotations

import math

import pytest

from inferry.policy.feedback import fault, settle
from inferry.types.feedback import Capture, FeedbackItem, Prediction

ALL = ("*",)


def capture(endpoint="fraud", rows=1):
    return Capture(
        endpoint=endpoint, request="r", model="m", version=1, revision=1, at=100.0, key="k",
        predictions=(Prediction(label=1),) * rows,
    )  # fmt: skip


def item(truth=1, **fields):
    return FeedbackItem(request_id="r", truth=truth, **fields)


def kept(first, **fields):
    _, truth = settle(first, [capture()], {}, ALL, 110.0)
    return settle(FeedbackItem(request_id="r", **fields), [capture()], {"fraud": truth}, ALL, 200.0)


def test_the_truth_of_a_known_prediction_is_matched() -> None:
    result, truth = settle(item(at=130.0), [capture()], {}, ALL, 150.0)
    assert (result.status, result.endpoint, result.late_s) == ("matched", "fraud", 30.0)
    assert (truth.truth, truth.at, truth.received, truth.matched) == (1, 130.0, 150.0, 150.0)


@pytest.mark.parametrize("same", [1, 1.0])
def test_the_same_again_changes_nothing(same) -> None:
    result, truth = kept(item(), truth=same)
    assert (result.status, truth) == ("repeated", None)


@pytest.mark.parametrize("other", [0, "1", True, [1]])
def test_another_truth_replaces_and_says_so(other) -> None:
    result, truth = kept(item(), truth=other)
    assert (result.status, result.before) == ("replaced", 1)
    assert (truth.truth, truth.matched) == (other, 110.0)


def test_values_are_added_to_what_is_known() -> None:
    result, truth = kept(item(), values={"profit": 2.0})
    assert (result.status, truth.truth, truth.values) == ("matched", 1, {"profit": 2.0})
    result, truth = kept(item(values={"profit": 1.0}), values={"profit": 2.0})
    assert (result.status, truth.values) == ("replaced", {"profit": 2.0})


def test_an_unknown_id_waits_where_its_endpoint_is_sure() -> None:
    assert settle(item(), [], {}, ALL, 1.0)[0].status == "refused"
    assert settle(item(endpoint="fraud"), [], {}, ALL, 1.0)[0].status == "waiting"
    result, truth = settle(item(), [], {}, ("fraud",), 1.0)
    assert (result.status, truth.endpoint, truth.matched) == ("waiting", "fraud", 0.0)


def test_two_endpoints_of_one_id_are_told_apart() -> None:
    both = [capture("fraud"), capture("churn")]
    result, truth = settle(item(), both, {}, ALL, 1.0)
    assert (result.status, truth) == ("refused", None)
    assert "churn, fraud" in result.error
    assert settle(item(endpoint="churn"), both, {}, ALL, 1.0)[0].endpoint == "churn"
    assert settle(item(), both, {}, ("fraud",), 1.0)[0].endpoint == "fraud"


def test_nobody_speaks_of_an_endpoint_that_is_not_theirs() -> None:
    result, truth = settle(item(endpoint="churn"), [capture("churn")], {}, ("fraud",), 1.0)
    assert (result.status, truth) == ("refused", None)


@pytest.mark.parametrize(("truth", "status"), [(1, "refused"), ([1], "refused"), ([1, None], "matched")])
def test_a_request_of_several_rows_has_several_truths(truth, status) -> None:
    assert settle(item(truth), [capture(rows=2)], {}, ALL, 1.0)[0].status == status


@pytest.mark.parametrize(
    "bad",
    [
        FeedbackItem(request_id="r", truth=math.nan),
        FeedbackItem(request_id="r", truth=[1, math.inf]),
        FeedbackItem(request_id="r", values={"a": math.inf}),
        FeedbackItem(request_id="r", truth=1, at=math.nan),
        FeedbackItem(request_id="r"),
        FeedbackItem(request_id="", truth=1),
        FeedbackItem(request_id="r", values={str(n): 1 for n in range(33)}),
    ],
)
def test_faults_are_named(bad) -> None:
    assert fault(bad)
    assert not fault(item())
