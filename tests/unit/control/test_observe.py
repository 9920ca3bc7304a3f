"""Observe: counters become windows; queries become numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from types import SimpleNamespace

import msgspec
import pytest

from inferry.control.observe import Observer
from inferry.control.queries import fill_in, number_in
from inferry.policy import rollout as policy
from inferry.policy.replicas import Failures
from inferry.telemetry.metrics import BUCKETS
from inferry.types.analysis import Bins, Moments
from inferry.types.density import Held
from inferry.types.feedback import Capture, Joined, Prediction, Truth
from inferry.types.registry import Revision, RevisionConfig
from inferry.types.traffic import MirrorReport, RevisionCounters


def revision(number: int) -> Revision:
    return Revision(
        endpoint="fraud", number=number, model="fraud", version=number + 10, bundle=f"b{number}",
        config=RevisionConfig(), replaces=0, created=0, created_by="",
    )  # fmt: skip


REVISIONS = {1: revision(1), 2: revision(2)}
ROLLOUT = policy.begin("r", "fraud", 1, 2, 0)


class Fleet:
    def __init__(self):
        self.deaths = Counter()
        self.failures = {}
        self.problems = {}
        self.replicas = defaultdict(list)

    def of(self, group):
        return self.replicas[group[1]]


class Heard:
    """Answers and truths that came, in order."""

    def __init__(self):
        self.came = []

    @property
    def number(self):
        return len(self.came)

    def since(self, endpoint, number):
        assert endpoint == "fraud"
        new = self.came[number:]
        return [one for one in new if isinstance(one, Capture)], [one for one in new if isinstance(one, Joined)]

    def answer(self, revision, *predictions):
        capture = Capture(
            endpoint="fraud", request="r", model="fraud", version=1, revision=revision, at=0.0, key="",
            predictions=predictions,
        )  # fmt: skip
        self.came.append(capture)
        return capture

    def truth(self, revision, prediction, truth, **values):
        capture = self.answer(revision, prediction)
        said = Truth(endpoint="fraud", request="r", truth=truth, values=values, at=0.0, received=0.0, matched=1.0)
        self.came.append(Joined(capture=capture, truth=said))


def counted(number, good, bad, *, epoch=1, slow=0, mirror=None):
    latency = [0] * BUCKETS
    latency[10], latency[20] = good + bad - slow, slow
    return RevisionCounters(
        epoch=epoch, endpoint="fraud", revision=number, statuses={200: good, 500: bad}, latency=tuple(latency),
        mirror=mirror,
    )  # fmt: skip


@pytest.fixture
def seen():
    fleet, now = Fleet(), SimpleNamespace(at=100.0)
    heard = Heard()
    observer = Observer(fleet, heard, lambda: now.at)

    def look(*counters, after=5.0, rollout=ROLLOUT):
        now.at += after
        return observer.observe(rollout, REVISIONS, counters, {})

    return SimpleNamespace(fleet=fleet, look=look, observer=observer, heard=heard)


def test_the_first_look_only_remembers_and_the_next_tells_what_came_since(seen) -> None:
    assert seen.look(counted(1, 1000, 7), counted(2, 50, 1)).windows == ()
    (window,) = seen.look(counted(1, 1090, 8), counted(2, 58, 3, slow=2)).windows
    assert (window.start, window.end) == (105.0, 110.0)
    assert (window.stable.requests, window.stable.errors) == (91, 1)
    assert (window.canary.requests, window.canary.errors) == (10, 2)
    assert window.canary.latency[20] == 2


def test_a_gateway_that_does_not_answer_is_missing_data(seen) -> None:
    seen.look(counted(1, 10, 0), counted(2, 5, 0))
    (window,) = seen.look().windows
    assert (window.stable.requests, window.canary.requests, window.canary.latency) == (0, 0, ())


def test_copies_that_differ_and_copies_that_fail_disagree(seen) -> None:
    seen.look(counted(1, 0, 0), counted(2, 0, 0, mirror=MirrorReport(compared=10, equal=9, failed=1)))
    report = MirrorReport(compared=20, equal=17, failed=3)
    (window,) = seen.look(counted(1, 0, 0), counted(2, 0, 0, mirror=report)).windows
    assert (window.canary.compared, window.canary.disagreed) == (12, 4)


def test_health_is_what_the_fleet_says_of_the_canary(seen) -> None:
    assert seen.look().health.ready is False
    group = ("fraud", "b2")
    seen.fleet.replicas["b2"].append(SimpleNamespace(held=lambda: Held(private=40_000_000, peak=0)))
    assert seen.look().health.ready
    assert seen.look().windows[0].canary.memory_mb is None  # the gateway told nothing
    seen.fleet.replicas["b2"].clear()
    from inferry.control.reconciler import group_of

    group = group_of(REVISIONS[2])
    seen.fleet.failures[group] = Failures(2, 0.0)
    seen.fleet.problems[group] = "It exploded."
    assert seen.look().health.failed == ""
    seen.fleet.failures[group] = Failures(3, 0.0)
    assert seen.look().health.failed == "It exploded."


def test_deaths_and_memory_are_counted_by_revision(seen) -> None:
    from inferry.control.reconciler import group_of

    seen.look(counted(1, 0, 0), counted(2, 0, 0))
    seen.fleet.deaths[group_of(REVISIONS[2])] += 2
    for held in (Held(private=40_000_000, peak=0), Held(private=50_000_000, peak=0), None):
        seen.fleet.replicas["b2"].append(SimpleNamespace(held=lambda held=held: held))
    (window,) = seen.look(counted(1, 0, 0), counted(2, 0, 0)).windows
    assert (window.stable.crashes, window.canary.crashes, window.canary.memory_mb) == (0, 2, 45.0)


def test_answers_are_counted_by_bin_once_there_are_bins(seen) -> None:
    yes, no = Prediction(label="yes"), Prediction(label="no")
    seen.look()
    seen.heard.answer(1, yes)
    assert seen.look().windows[0].stable.scores == ()
    binned = msgspec.structs.replace(ROLLOUT, bins=Bins(labels=("no", "yes")))
    for revision, predictions in ((1, (yes, no)), (1, (no,)), (2, (yes, yes)), (2, ()), (9, (yes,))):
        seen.heard.answer(revision, *predictions)
    (window,) = seen.look(rollout=binned).windows
    assert (window.stable.scores, window.canary.scores) == ((1, 1, 0), (0, 1, 0))  # of each request one row
    (window,) = seen.look(rollout=binned).windows
    assert sum(window.stable.scores) == 0


def test_truths_add_up_by_metric(seen) -> None:
    seen.look()
    seen.heard.truth(1, Prediction(label="a"), "a")
    seen.heard.truth(2, Prediction(label="a"), "b", profit=3.0)
    seen.heard.truth(2, Prediction(label="b"), "b", profit=1.0)
    (window,) = seen.look().windows
    assert window.stable.feedback == {"accuracy": Moments(count=1, total=1, squares=1)}
    assert window.canary.feedback == {
        "accuracy": Moments(count=2, total=1, squares=1), "profit": Moments(count=2, total=4, squares=10),
    }  # fmt: skip
    assert seen.look().windows[0].canary.feedback == {}


def test_a_query_names_the_revision() -> None:
    made = fill_in("http://p/?q={r='$REVISION',v='$VERSION',e='$ENDPOINT'}&x=$other", REVISIONS[2])
    assert made == "http://p/?q={r='2',v='12',e='fraud'}&x=$other"


@pytest.mark.parametrize(
    ("document", "number"),
    [
        (1.5, 1.5),
        ("2", 2.0),
        ({"value": 3}, 3.0),
        ({"status": "success", "data": {"result": [{"metric": {}, "value": [1, "0.25"]}]}}, 0.25),
        ({"data": {"resultType": "scalar", "result": [1, "7"]}}, 7.0),
    ],
)
def test_numbers_are_found_in_answers(document, number) -> None:
    assert number_in(document) == number


@pytest.mark.parametrize(
    "document", [None, True, [], {}, {"data": {}}, {"data": {"result": []}}, "x", {"value": "NaN"}, {"value": [1]}]
)
def test_answers_without_a_number_are_missing_data(document) -> None:
    with pytest.raises(ValueError, match=r"number|float"):
        number_in(document)
