"""The outbox: what changes is told in the same transaction, to those who asked, in order, once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from inferry.errors import Conflict, NotFound
from inferry.policy import events, pipeline, traffic
from inferry.policy import rollout as policy
from inferry.policy.experiment import judge
from inferry.policy.strategy import DEFAULT_STRATEGY
from inferry.storage import open_store
from inferry.testing.store_contract import digest_of, make_commit
from inferry.types.analysis import Health, Observation
from inferry.types.experiment import Experiment, Variant
from inferry.types.pipeline import Run, Seen, Smoked
from inferry.types.project import Pipeline, Stage
from inferry.types.rollout import Act
from inferry.types.trials import Report, Result
from inferry.types.webhooks import EVENT_TYPES, Attempt, Webhook


@pytest.fixture
def store(database_url):
    store = open_store(database_url)
    yield store
    assert store.check() == []
    store.close()


def hook(name="ops", events=("*",)):
    return Webhook(name=name, url="https://example.org/", events=events, sealed="x", created=1.0, created_by="ann")


def told(store, name="ops"):
    return [delivery.event.type for delivery in store.waiting(name, 1000)]


def attempt(number=1, at=10.0, status=500):
    return Attempt(number=number, at=at, ms=3.0, status=status, words="no")


def report(source, verdict="passed"):
    result = Result(gate="metrics", name="quality", verdict=verdict, words="")
    return Report(target="fraud", bundle=digest_of("bundle " + source), passed=verdict == "passed", results=(result,))


def climb(store, run, *seen):
    """Turns of a run, each kept."""
    record = store.begin_run(run, 10.0)
    for number, one in enumerate(seen):
        turn = pipeline.decide(record.run, one, 11.0 + number)
        record = store.keep_turn(record, turn, 11.0 + number, "policy")
    return record


def ladder(id, version, *, approve=False):
    stages = (Stage(endpoint="fraud", approve=approve, smoke=1),)
    declared = Pipeline(stages=stages, gates=False)
    return Run(
        id=id, model="fraud", version=version, pipeline=declared, started=1.0, created_by="ann", since=1.0, phase="gates"
    )  # fmt: skip


def test_every_kind_of_change_is_told_in_order(store):
    store.add_webhook(hook())
    store.commit_deploy(make_commit("a"), now=1)
    store.commit_version(make_commit("b"), 2)
    store.keep_trial("fraud", 1, report("a"), 3, "ann")
    store.keep_trial("fraud", 2, report("b", "failed"), 4, "ann")
    store.commit_deploy(replace(make_commit("b"), version=2, strategy=DEFAULT_STRATEGY), now=5)
    (record,) = store.rollouts("fraud", active=True)
    ready = policy.decide(record.rollout, record.strategy, Observation(health=Health(ready=True)), 6)
    record = store.keep_decision(record, ready)
    for kind in ("pause", "resume", "abort"):
        wish = Act(kind=kind, by="ann")
        record = store.keep_decision(record, policy.act(record.rollout, record.strategy, wish, 7))
    one, two = store.revisions("fraud")
    going_back = events.rolled_back(two, one, 8, "ann")
    store.change_traffic("fraud", lambda found: traffic.point(found, {1: 50, 2: 50}), 8, going_back)
    assert told(store) == [
        "version.registered", "endpoint.deployed", "version.registered", "version.passed", "version.failed",
        "endpoint.deployed", "rollout.started", "rollout.step", "rollout.paused", "rollout.resumed", "rollout.aborted",
        "endpoint.rolled-back",
    ]  # fmt: skip
    last = store.waiting("ops", 100)[-1]
    assert (last.number, last.event.subject, last.due) == (12, "endpoints/fraud", 8.0)
    assert last.event.data["from_version"] == 2
    assert len({delivery.id for delivery in store.waiting("ops", 100)}) == 12
    assert store.deliveries("ops", before=12, limit=2)[0].number == 11


def test_the_steps_of_a_pipeline_are_told(store):
    store.commit_deploy(make_commit("a"), now=1)
    store.commit_version(make_commit("b"), 2)
    store.add_webhook(hook(events=("pipeline.*",)))
    asked = climb(store, ladder("one", 2, approve=True), Seen(), Seen())
    turn = pipeline.act(asked.run, "approve", "bob", "", 20.0)
    record = store.keep_turn(asked, turn, 20.0, "bob")
    for seen in (Seen(serving=1, revision=2, share=0), Seen(share=100), Seen(share=100, smoked=Smoked(asked=1))):
        record = store.keep_turn(record, pipeline.decide(record.run, seen, 21.0), 21.0, "policy")
    assert record.run.phase == "done"
    assert told(store) == [
        "pipeline.begun", "pipeline.stage.waiting", "pipeline.stage.begun", "pipeline.stage.done", "pipeline.done",
    ]  # fmt: skip
    climb(store, ladder("two", 2), Seen(), Seen(), Seen(problem="It does not load."), Seen())
    assert told(store)[5:] == ["pipeline.begun", "pipeline.stage.begun", "pipeline.stage.failed", "pipeline.stopped"]
    assert store.waiting("ops", 100)[-1].event.data["reason"] == "It does not load."


def test_an_experiment_is_told_when_its_verdict_comes(store):
    store.commit_deploy(make_commit("a"), now=1)
    store.commit_deploy(make_commit("b", percent=0), now=2)
    store.add_webhook(hook(events=("experiment.*",)))
    variants = (Variant(name="1", weight=50), Variant(name="2", weight=50))
    plan = Experiment(name="fraud", variants=variants, metric="bought", min_effect=0.1, started=3.0)
    record = store.begin_experiment("fraud", plan, "ann")
    first = judge(plan, [], 4.0)
    store.keep_report(record.id, first)
    won = replace(first, verdict="winner", winner="2", reason="2 is better")
    store.keep_report(record.id, won)
    store.keep_report(record.id, won)
    store.end_experiment(record.id, 5.0, "ann", "enough", 2)
    assert told(store) == ["experiment.started", "experiment.decided", "experiment.ended"]


def test_a_change_that_fails_tells_nothing(store):
    store.add_webhook(hook())
    store.commit_deploy(make_commit("a"), now=1)
    before = told(store)
    with pytest.raises(Conflict):
        store.commit_deploy(make_commit("b", model="spam", endpoint="fraud"), now=2)
    with pytest.raises(NotFound):
        store.change_traffic("fraud", lambda found: traffic.point(found, {9: 100}), 3, events.deleted("fraud", 3))
    assert told(store) == before


def test_each_hears_what_it_asked_for_while_it_is_on(store):
    store.add_webhook(hook("ops", ("endpoint.*",)))
    store.add_webhook(hook("ml", ("version.*", "endpoint.deleted")))
    store.add_webhook(hook("off"))
    store.change_webhook("off", lambda found: replace(found, off="it was turned off"))
    store.commit_deploy(make_commit("a"), now=1)
    store.delete_endpoint("fraud", events.deleted("fraud", 2))
    assert told(store, "ops") == ["endpoint.deployed", "endpoint.deleted"]
    assert told(store, "ml") == ["version.registered", "endpoint.deleted"]
    assert told(store, "off") == []
    assert store.waiting("ops", 9)[-1].id == store.waiting("ml", 9)[-1].id
    assert set(told(store, "ops") + told(store, "ml")) <= set(EVENT_TYPES)


def test_attempts_are_kept_and_end_or_go_on(store):
    store.add_webhook(hook())
    sent = store.add_delivery("ops", events.test("ops", 5.0, "ann"))
    assert store.due_webhooks(4.0) == []
    assert store.due_webhooks(5.0) == ["ops"]
    store.keep_attempt(sent, attempt(), "waiting", 20.0, "")
    (again,) = store.waiting("ops", 9)
    assert (again.tries, again.attempts, again.due, again.last) == (1, 1, 20.0, attempt())
    store.keep_attempt(again, attempt(2, 20.0, 204), "delivered", 0.0, "")
    assert store.waiting("ops", 9) == []
    assert store.due_webhooks(1e9) == []
    assert store.attempts("ops", sent.number) == [attempt(), attempt(2, 20.0, 204)]
    assert store.send_again("ops", [sent.number], 30.0) == 1
    (once_more,) = store.waiting("ops", 9)
    assert (once_more.tries, once_more.attempts, once_more.since, once_more.id) == (0, 2, 30.0, sent.id)
    assert store.send_again("ops", [sent.number], 31.0) == 0  # it is on its way
    with pytest.raises(NotFound):
        store.send_again("ops", [99], 31.0)
    with pytest.raises(NotFound):
        store.attempts("ops", 99)


def test_a_receiver_that_is_gone_is_sent_nothing_more(store):
    store.add_webhook(hook())
    first, _ = (store.add_delivery("ops", events.test("ops", 5.0, "ann")) for _ in range(2))
    store.keep_attempt(first, attempt(status=410), "dead", 0.0, "410 Gone")
    assert store.webhook("ops").off == "410 Gone"
    assert [one.state for one in store.deliveries("ops")] == ["dead", "dead"]
    with pytest.raises(Conflict, match="is off"):
        store.send_again("ops", [], 9.0)
    store.change_webhook("ops", lambda found: replace(found, off=""))
    assert store.send_again("ops", [], 9.0) == 2


def test_the_log_is_kept_for_a_time_and_a_number(store):
    store.add_webhook(hook())
    for number in range(1, 7):
        sent = store.add_delivery("ops", events.test("ops", 5.0, "ann"))
        if number != 3:
            store.keep_attempt(sent, attempt(at=10.0 + number), "delivered", 0.0, "")
    assert store.forget_deliveries(13.0, 100) == 2
    assert [one.number for one in store.deliveries("ops")] == [6, 5, 4, 3]
    assert store.forget_deliveries(0.0, 1) == 2
    assert [(one.number, one.state) for one in store.deliveries("ops")] == [(6, "delivered"), (3, "waiting")]


def test_a_name_is_taken_until_it_is_removed_and_numbers_go_on(store):
    store.add_webhook(hook())
    with pytest.raises(Conflict, match="already"):
        store.add_webhook(hook())
    sent = store.add_delivery("ops", events.test("ops", 5.0, "ann"))
    store.keep_attempt(sent, attempt(), "waiting", 9.0, "")
    store.delete_webhook("ops")
    store.keep_attempt(sent, attempt(2), "delivered", 9.0, "")  # it was under way
    assert store.webhooks() == []
    for missing in (lambda: store.webhook("ops"), lambda: store.delete_webhook("ops"), lambda: store.deliveries("ops"),
                    lambda: store.change_webhook("ops", lambda found: found)):  # fmt: skip
        with pytest.raises(NotFound):
            missing()
    store.add_webhook(hook())
    assert store.add_delivery("ops", events.test("ops", 6.0, "ann")).number == 2
