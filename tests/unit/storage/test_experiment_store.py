"""Experiments in the store: each unit is exposed once and has one outcome, whatever comes again."""

from __future__ import annotations

import pytest

from inferry.errors import Conflict, InvalidInput, NotFound
from inferry.policy.experiment import judge
from inferry.storage import open_store
from inferry.testing.store_contract import make_commit
from inferry.types.analysis import Moments
from inferry.types.experiment import Experiment, Seen, Variant
from inferry.types.feedback import Capture, FeedbackItem, Prediction
from inferry.types.rollout import Step, Strategy

PLAN = Experiment(
    name="fraud", variants=(Variant(name="1", weight=50), Variant(name="2", weight=50)), metric="bought", min_effect=0.1,
    started=10.0,
)  # fmt: skip


@pytest.fixture
def store(database_url):
    store = open_store(database_url)
    store.commit_deploy(make_commit("a"), now=1)
    store.commit_deploy(make_commit("b", percent=0), now=2)
    yield store
    assert store.check() == []
    store.close()


def capture(request, key, revision=1, at=20.0):
    return Capture(
        endpoint="fraud", request=request, model="fraud", version=revision, revision=revision, at=at, key=key,
        predictions=(Prediction(value=0.5),),
    )  # fmt: skip


def tell(store, request, bought, now=30.0):
    return store.add_truths([FeedbackItem(request_id=request, values={"bought": bought})], ("*",), now)


def test_its_variants_get_their_weights_which_then_hold(store) -> None:
    record = store.begin_experiment("fraud", PLAN, "ann")
    assert store.endpoint("fraud").traffic == {1: 50, 2: 50}
    assert store.experiments("fraud", running=True) == [record]
    strategy = Strategy(steps=(Step(weight=10),))
    for move in (
        lambda: store.change_traffic("fraud", lambda endpoint: endpoint, 3),
        lambda: store.commit_deploy(make_commit("c"), now=3),
        lambda: store.begin_rollout("fraud", 2, strategy, 3, "ann"),
        lambda: store.begin_experiment("fraud", PLAN, "ann"),
    ):
        with pytest.raises(Conflict, match="experiment"):
            move()


def test_units_and_outcomes_count_once(store) -> None:
    record = store.begin_experiment("fraud", PLAN, "ann")
    early = capture("r0", "z", at=5.0)
    first, again, other = capture("r1", "a"), capture("r2", "a"), capture("r3", "b", revision=2)
    store.add_captures([early, first, again, other, capture("r4", "c", revision=9)], 21.0)
    store.add_captures([first, capture("r5", "a", revision=2)], 22.0)  # came again, and moved since
    assert store.seen(record.id) == [Seen(variant="1", exposed=1), Seen(variant="2", exposed=1)]
    for request, value in (("r0", 1.0), ("r5", 1.0), ("r2", 1.0), ("r1", 0.0), ("r3", 0.0), ("r3", 1.0), ("r4", 1.0)):
        tell(store, request, value)
    one, two = store.seen(record.id)
    assert one.outcome == Moments(count=1, total=1.0, squares=1.0)
    assert two.outcome == Moments(count=1, total=0.0, squares=0.0)


def test_outcomes_that_came_before_their_prediction_or_behind_a_truth_count(store) -> None:
    record = store.begin_experiment("fraud", PLAN, "ann")
    early = FeedbackItem(request_id="r1", values={"bought": 1.0}, endpoint="fraud")
    store.add_truths([early], ("*",), 19.0)
    store.add_captures([capture("r1", "a"), capture("r2", "b")], 21.0)
    store.add_truths([FeedbackItem(request_id="r2", truth=1)], ("*",), 25.0)
    tell(store, "r2", 0.0)
    tell(store, "r2", 0.25)  # no share: it has one already, and this is none
    (seen,) = store.seen(record.id)
    assert seen.outcome == Moments(count=2, total=1.0, squares=1.0)


def test_a_report_is_kept_until_it_has_ended(store) -> None:
    record = store.begin_experiment("fraud", PLAN, "ann")
    report = judge(record.experiment, store.seen(record.id), 30.0)
    store.keep_report(record.id, report)
    assert store.experiment(record.id).report == report
    with pytest.raises(InvalidInput):
        store.end_experiment(record.id, 40.0, "bob", "", 9)
    ended = store.end_experiment(record.id, 40.0, "bob", "enough", 2)
    assert (ended.ended, ended.ended_by, ended.reason, ended.report) == (40.0, "bob", "enough", report)
    assert store.endpoint("fraud").traffic == {2: 100}
    with pytest.raises(Conflict):
        store.end_experiment(record.id, 41.0, "bob", "", None)
    store.keep_report(record.id, judge(record.experiment, [], 50.0))
    assert store.experiment(record.id) == ended
    store.add_captures([capture("late", "l")], 60.0)
    assert store.seen(record.id) == []


def test_what_is_not_there_is_said(store) -> None:
    with pytest.raises(NotFound):
        store.experiment("nope")
    with pytest.raises(NotFound):
        store.begin_experiment("churn", PLAN, "ann")
    store.begin_experiment("fraud", PLAN, "ann")
    store.add_captures([capture("r1", "a")], 21.0)
    store.delete_endpoint("fraud")
    assert store.experiments() == []
