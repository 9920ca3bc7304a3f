"""Rollouts in the store: state, decisions and traffic move together, or not at all."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from inferry.errors import Conflict, NotFound
from inferry.policy import rollout as policy
from inferry.policy import traffic
from inferry.policy.strategy import DEFAULT_STRATEGY
from inferry.storage import open_store
from inferry.testing.store_contract import make_commit
from inferry.types.analysis import Health, Observation
from inferry.types.rollout import Act


@pytest.fixture
def store(database_url):
    store = open_store(database_url)
    store.commit_deploy(make_commit("a"), now=1)
    yield store
    assert store.check() == []
    store.close()


def begun(store):
    store.commit_deploy(replace(make_commit("b"), strategy=DEFAULT_STRATEGY), now=2)
    (record,) = store.rollouts("fraud", active=True)
    return record


def ready(record, now):
    return policy.decide(record.rollout, record.strategy, Observation(health=Health(ready=True)), now)


def test_a_deploy_with_a_strategy_begins_a_rollout_in_its_transaction(store) -> None:
    record = begun(store)
    assert (record.rollout.stable, record.rollout.canary, record.rollout.phase) == (1, 2, "starting")
    found = store.endpoint("fraud")
    assert (found.traffic, found.split.warm) == ({1: 100}, (2,))
    assert store.rollout(record.rollout.id) == record


def test_the_first_deploy_of_an_endpoint_needs_no_rollout(store) -> None:
    store.commit_deploy(replace(make_commit("c", model="spam"), strategy=DEFAULT_STRATEGY), now=2)
    assert store.endpoint("spam").traffic == {1: 100}
    assert store.rollouts("spam") == []


def test_a_decision_moves_traffic_and_is_kept(store) -> None:
    record = store.keep_decision(begun(store), ready(begun_record(store), 3))
    assert store.endpoint("fraud").traffic == {1: 90, 2: 10}
    promoted = policy.act(record.rollout, record.strategy, Act(kind="promote", by="ann"), 4)
    record = store.keep_decision(record, promoted)
    found = store.endpoint("fraud")
    assert (found.traffic, found.split.warm) == ({2: 100}, (1,))
    assert [(d.number, d.action, d.weight, d.by) for d in store.decisions(record.rollout.id)] == [
        (1, "advance", 10, "policy"), (2, "promote", 100, "ann"),
    ]  # fmt: skip
    assert [d.number for d in store.decisions(record.rollout.id, after=1)] == [2]
    assert store.rollouts(active=True) == []


def begun_record(store):
    return store.rollouts("fraud", active=True)[0]


def test_an_abort_leaves_nothing_of_the_canary_running(store) -> None:
    record = begun(store)
    record = store.keep_decision(record, ready(record, 3))
    store.keep_decision(record, policy.act(record.rollout, record.strategy, Act(kind="abort", by="ann"), 4))
    assert store.endpoint("fraud").running == {1}


def test_who_decides_must_have_read_the_latest_state(store) -> None:
    record = begun(store)
    decision = ready(record, 3)
    store.keep_decision(record, decision)
    with pytest.raises(Conflict, match="changed meanwhile"):
        store.keep_decision(record, decision)
    assert len(store.decisions(record.rollout.id)) == 1


def test_waiting_is_written_but_no_decision(store) -> None:
    record = begun(store)
    waiting = policy.decide(record.rollout, record.strategy, Observation(health=Health()), 3)
    after = store.keep_decision(record, waiting)
    assert (after.turn, after.decisions) == (1, 0)
    assert store.decisions(record.rollout.id) == []


def test_nothing_else_moves_traffic_while_a_rollout_does(store) -> None:
    begun(store)
    with pytest.raises(Conflict, match="under way"):
        store.commit_deploy(make_commit("c"), now=3)
    with pytest.raises(Conflict, match="under way"):
        store.change_traffic("fraud", lambda found: traffic.point(found, {1: 100}), now=3)
    with pytest.raises(Conflict, match="under way"):
        store.commit_revision("fraud", 1, make_commit().config, now=3, created_by="bob")
    with pytest.raises(Conflict, match="under way"):
        store.begin_rollout("fraud", 2, DEFAULT_STRATEGY, 3, "bob")
    assert len(store.versions("fraud")) == 2


def test_what_cannot_be_rolled_out_is_refused(store) -> None:
    with pytest.raises(NotFound):
        store.begin_rollout("fraud", 9, DEFAULT_STRATEGY, 3, "bob")
    with pytest.raises(NotFound):
        store.begin_rollout("nobody", 1, DEFAULT_STRATEGY, 3, "bob")
    with pytest.raises(Conflict, match="all traffic already"):
        store.begin_rollout("fraud", 1, DEFAULT_STRATEGY, 3, "bob")
    store.commit_deploy(make_commit("b", percent=10), now=2)
    with pytest.raises(Conflict, match="split already"):
        store.begin_rollout("fraud", 2, DEFAULT_STRATEGY, 3, "bob")
    with pytest.raises(NotFound):
        store.rollout("nothing")


def test_a_deleted_endpoint_takes_its_rollouts_along(store) -> None:
    record = begun(store)
    store.keep_decision(record, ready(record, 3))
    store.delete_endpoint("fraud")
    assert store.rollouts() == []
