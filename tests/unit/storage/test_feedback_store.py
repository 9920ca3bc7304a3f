"""Captures and truths in the store: whatever comes first, each pair is joined once."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from inferry.storage import open_store
from inferry.testing.store_contract import make_commit
from inferry.types.feedback import Capture, FeedbackItem, Prediction

ALL = ("*",)


@pytest.fixture
def store(database_url):
    store = open_store(database_url)
    yield store
    assert store.check() == []
    store.close()


def capture(request="r", *, at=100.0, endpoint="fraud", revision=1, version=1):
    return Capture(
        endpoint=endpoint, request=request, model="fraud", version=version, revision=revision, at=at, key="k",
        predictions=(Prediction(label="no", scores={"no": 0.75, "yes": 0.25}),),
    )  # fmt: skip


def item(request="r", truth="no", **fields):
    return FeedbackItem(request_id=request, truth=truth, **fields)


def test_a_capture_is_kept_once_and_the_first_stays(store) -> None:
    new, met = store.add_captures([capture(), capture(at=200.0), capture("s")], 1.0)
    assert [one.request for one in new] == ["r", "s"]
    assert store.add_captures([capture(at=300.0)], 2.0) == ([], [])
    assert met == []
    assert store.captures("fraud", 1, 1000.0, 10) == [capture(), capture("s")]
    assert store.captured("fraud", 0.0) == {1: 2}


def test_requests_in_any_number_make_few_statements(store) -> None:
    """A driver keeps each text of SQL that it prepared, on each connection: of a hundred lengths, some megabytes."""
    texts: set[str] = set()
    listener = lambda *arguments: texts.add(arguments[2])  # noqa: E731
    event.listen(Engine, "before_cursor_execute", listener)
    try:
        for count in range(1, 100):
            ids = [f"{count}-{number}" for number in range(count)]
            new, _ = store.add_captures([capture(id) for id in ids], 1.0)
            assert sorted(one.request for one in new) == sorted(ids)
            results, _ = store.add_truths([item(id) for id in ids], ALL, 2.0)
            assert {one.status for one in results} == {"matched"}
    finally:
        event.remove(Engine, "before_cursor_execute", listener)
    assert len(texts) < 60


def test_truth_meets_a_capture_whichever_comes_first(store) -> None:
    store.add_captures([capture("first")], 1.0)
    results, met = store.add_truths([item("first"), item("later", endpoint="fraud")], ALL, 2.0)
    assert [one.status for one in results] == ["matched", "waiting"]
    assert [one.capture.request for one in met] == ["first"]
    _, met = store.add_captures([capture("later", at=150.0)], 3.0)
    assert [(one.capture.request, one.truth.matched) for one in met] == [("later", 3.0)]
    assert [one.capture.request for one in store.joined("fraud", 0.0, 10)] == ["first", "later"]
    assert [one.capture.request for one in store.joined("fraud", 120.0, 10)] == ["later"]
    assert [one.capture.request for one in store.joined("fraud", 0.0, 1)] == ["later"]
    assert store.joined("churn", 0.0, 10) == []


def test_items_of_one_body_see_each_other(store) -> None:
    store.add_captures([capture()], 1.0)
    results, met = store.add_truths([item(), item(), item(truth="yes")], ALL, 2.0)
    assert [one.status for one in results] == ["matched", "repeated", "replaced"]
    assert len(met) == 1
    assert store.joined("fraud", 0.0, 10)[0].truth.truth == "yes"
    results, met = store.add_truths([item(truth="yes")], ALL, 3.0)
    assert ([one.status for one in results], met) == (["repeated"], [])


def test_more_ids_than_a_statement_takes(store) -> None:
    captures = [capture(f"r{n}", at=float(n)) for n in range(1203)]
    assert len(store.add_captures(captures, 1.0)[0]) == 1203
    results, met = store.add_truths([item(f"r{n}") for n in range(1203)], ALL, 2.0)
    assert len(met) == 1203
    assert {one.status for one in results} == {"matched"}


def test_the_old_and_the_many_are_forgotten(store) -> None:
    store.add_captures([capture(f"r{n}", at=float(n)) for n in range(10)], 1.0)
    store.add_captures([capture(f"c{n}", at=float(n), endpoint="churn") for n in range(3)], 1.0)
    store.add_truths([item("r9"), item("r0")], ALL, 50.0)
    assert store.forget_old(5.0, 100) == 8
    assert [one.request for one in store.captures("fraud", 1, 99.0, 99)] == ["r5", "r6", "r7", "r8", "r9"]
    assert store.forget_old(0.0, 2) == 3
    assert [one.request for one in store.captures("fraud", 1, 99.0, 99)] == ["r8", "r9"]
    assert store.forget_old(60.0, 100) == 4


def test_an_endpoint_that_goes_takes_its_captures_along(store) -> None:
    store.commit_deploy(make_commit("a"), now=1)
    store.add_captures([capture(), capture("other", endpoint="churn")], 1.0)
    store.add_truths([item()], ALL, 2.0)
    store.delete_endpoint("fraud")
    assert store.captured("fraud", 0.0) == {}
    assert store.joined("fraud", 0.0, 10) == []
    assert store.captured("churn", 0.0) == {1: 1}


EVENTS = st.lists(
    st.tuples(st.sampled_from("ct"), st.sampled_from("abc"), st.sampled_from(["no", "yes"])), min_size=1, max_size=25
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_each_pair_meets_once_in_any_order(tmp_path_factory, events) -> None:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('any')}/inferry.db")
    met, captured, said = [], set(), {}
    for at, (kind, id, truth) in enumerate(events):
        if kind == "c":
            met += store.add_captures([capture(id)], float(at))[1]
            captured.add(id)
        else:
            (result,), found = store.add_truths([item(id, truth, endpoint="fraud")], ALL, float(at))
            met += found
            before = said.get(id)
            expected = ("matched" if id in captured else "waiting") if before is None else "repeated"
            assert result.status == ("replaced" if before not in (None, truth) else expected)
            said[id] = truth
    assert sorted(one.capture.request for one in met) == sorted(captured & set(said))
    joined = {one.capture.request: one.truth.truth for one in store.joined("fraud", 0.0, 99)}
    assert joined == {id: said[id] for id in captured & set(said)}
    store.close()
