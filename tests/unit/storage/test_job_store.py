"""The queue on both databases: who begins what, whose end counts, what comes back."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inferry.errors import Conflict, IdempotencyMismatch, NotFound
from inferry.storage.job_bodies import JobBodies
from inferry.storage.jobs import SqlJobs, open_jobs
from inferry.storage.metadata import open_store
from inferry.types.job_orders import Add, Again, Cancel, End, Purge, Reclaim, Renew, Retry, Take
from inferry.types.jobs import ENDED, RESULT, Job, Reason
from inferry.types.webhooks import Webhook

NAMES = itertools.count()
REASON = Reason(code="model_failed", message="no", status=500)


@pytest.fixture
def store(database_url: str):
    opened = open_jobs(database_url)
    yield opened
    opened.close()


def made(**fields) -> Job:
    values = {
        "key": "k",
        "endpoint": "e",
        "created": 1.0,
        "path": "/predict/e",
        "digest": "d",
        "size": 4,
        "keep_s": 9.0,
    }
    return Job(id=f"{next(NAMES):032x}", **(values | fields))


def add(store: SqlJobs, **fields) -> Job:
    (job,) = store.write([Add(job=made(**fields), body=b"body")])
    return job


def take(store: SqlJobs, most=9, now=10.0, endpoint="e", lease=20.0):
    (taken,) = store.write([Take(endpoint=endpoint, most=most, now=now, lease=lease)])
    return taken


def one(store: SqlJobs, order):
    (given,) = store.write([order])
    return given


def test_what_was_added_is_read_back(store):
    job = add(store, headers=(("content-type", "application/json"),), idem="i", priority=9)
    assert store.job(job.id) == job
    assert store.jobs("k", "e", "waiting", "", 9) == [job]
    assert store.jobs("other", "", "", "", 9) == []
    assert store.endpoints() == ["e"]
    assert store.usage() == {"k": (1, 4)}


def test_jobs_begin_by_priority_and_then_by_age(store):
    late, first, second = add(store, priority=2), add(store), add(store)
    high = add(store, priority=8)
    assert [store.ahead(job) for job in (high, first, second, late)] == [0, 1, 2, 3]
    taken = take(store, most=3)
    assert [job.id for job in taken.jobs] == [high.id, first.id, second.id]
    assert all((job.state, job.fence, job.lease) == ("running", 1, 20.0) for job in taken.jobs)
    assert taken.bodies == {job.id: b"body" for job in taken.jobs}
    assert taken.due == 10.0
    rest = take(store)
    assert ([job.id for job in rest.jobs], rest.due) == ([late.id], None)


def test_a_job_does_not_begin_before_it_is_due(store):
    job = add(store, due=50.0)
    taken = take(store)
    assert (taken.jobs, taken.due) == ((), 50.0)
    assert take(store, now=50.0).jobs[0].id == job.id


def test_the_same_idempotency_key_gives_the_same_job_and_another_request_is_refused(store):
    job = add(store, idem="i")
    assert add(store, idem="i").id == job.id
    assert add(store, idem="i", key="other").id != job.id
    assert isinstance(one(store, Add(job=made(idem="i", digest="x"), body=b"")), IdempotencyMismatch)


def test_only_who_began_a_job_last_can_end_it(store):
    add(store)
    (stale,) = take(store, lease=20.0).jobs
    one(store, Reclaim(now=30.0, due=30.0, most_losses=3))
    (holder,) = take(store, now=30.0, lease=60.0).jobs
    assert holder.fence == stale.fence + 1

    def end(job):
        return End(id=job.id, fence=job.fence, now=31.0, state="succeeded", status=200, body=b"r", answer_size=1)

    assert one(store, end(stale)) is None
    assert one(store, Again(id=stale.id, fence=1, due=1.0, reason=REASON, failed=True, lost=False)) is None
    assert one(store, Renew(held=((stale.id, 1),), lease=99.0)) == [stale.id]
    assert one(store, Renew(held=((holder.id, 2),), lease=99.0)) == []
    ended = one(store, end(holder))
    assert (ended.state, ended.status, ended.expires) == ("succeeded", 200, 40.0)
    assert store.body(holder.id, RESULT) == b"r"
    assert one(store, end(holder)) is None


def test_a_job_that_is_lost_again_and_again_is_given_up(store):
    job = add(store)
    for _ in range(3):
        assert take(store, now=30.0, lease=20.0).jobs
        (back,) = one(store, Reclaim(now=30.0, due=30.0, most_losses=3))
    assert (back.id, back.state, back.reason.code, back.losses) == (job.id, "dead", "lost", 3)
    assert one(store, Reclaim(now=30.0, due=30.0, most_losses=3)) == []


def test_an_attempt_that_failed_waits_for_the_next(store):
    add(store)
    (job,) = take(store).jobs
    again = one(store, Again(id=job.id, fence=1, due=12.0, reason=REASON, failed=True, lost=False))
    assert (again.state, again.due, again.failures, again.losses, again.reason) == ("waiting", 12.0, 1, 0, REASON)


def test_a_cancelled_job_cannot_be_ended_otherwise_and_may_begin_anew(store):
    add(store)
    (job,) = take(store).jobs
    assert one(store, Cancel(id=job.id, now=11.0)).state == "cancelled"
    assert one(store, End(id=job.id, fence=1, now=12.0, state="succeeded")) is None
    assert one(store, Cancel(id=job.id, now=12.0)).ended == 11.0
    assert one(store, Retry(id=job.id, now=13.0)).state == "waiting"
    assert isinstance(one(store, Retry(id=job.id, now=13.0)), Conflict)
    (again,) = take(store, now=13.0).jobs
    assert again.fence == 2
    assert one(store, End(id=job.id, fence=2, now=14.0, state="succeeded", body=b"")).state == "succeeded"
    assert isinstance(one(store, Cancel(id=job.id, now=15.0)), Conflict)
    assert isinstance(one(store, Cancel(id="f" * 32, now=15.0)), NotFound)


def test_old_jobs_are_forgotten_with_their_bodies(store):
    kept, gone = add(store), add(store)
    one(store, Cancel(id=gone.id, now=11.0))
    assert [job.id for job in one(store, Purge(now=21.0))] == [gone.id]
    assert list(store.known([kept.id, gone.id])) == [kept.id]
    with pytest.raises(NotFound):
        store.body(gone.id, "request")


def test_a_job_of_a_revoked_key_is_told_apart(store):
    job = add(store)
    assert take(store).revoked == {job.id}


def test_one_refused_order_leaves_the_others_of_its_transaction(store):
    refused, added = store.write([Cancel(id="f" * 32, now=1.0), Add(job=made(), body=b"")])
    assert isinstance(refused, NotFound)
    assert store.job(added.id) == added


def test_every_end_is_told_to_the_webhooks_that_ask_for_jobs(database_url):
    hooks, store = open_store(database_url), open_jobs(database_url)
    for name, events in (("jobs", ("job.*",)), ("all", ("*",))):
        hooks.add_webhook(Webhook(name=name, url="https://x", events=events, sealed="s", created=1.0, created_by="k"))
    done, failed, gone, left = (add(store) for _ in range(4))
    take(store)
    one(store, End(id=done.id, fence=1, now=11.0, state="succeeded", status=200, body=b""))
    one(store, End(id=failed.id, fence=1, now=12.0, state="dead", reason=REASON))
    one(store, End(id=failed.id, fence=1, now=12.0, state="dead", reason=REASON))
    one(store, Cancel(id=gone.id, now=13.0))
    one(store, Cancel(id=gone.id, now=14.0))
    one(store, Reclaim(now=99.0, due=99.0, most_losses=1))
    told = [(one.event.type, one.event.data["job"], one.event.at) for one in hooks.waiting("jobs", 9)]
    assert told == [
        ("job.succeeded", done.id, 11.0), ("job.failed", failed.id, 12.0), ("job.cancelled", gone.id, 13.0),
        ("job.failed", left.id, 99.0),
    ]  # fmt: skip
    assert hooks.waiting("all", 9) == []
    hooks.close()
    store.close()


class Queue(RuleBasedStateMachine):
    """Workers that begin, lose and end jobs in any order: each job has one end, and it never changes."""

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_jobs(f"sqlite:///{self.folder.name}/inferry.db")
        self.now = 1.0
        self.hands: list[Job] = []
        self.ends: dict[str, str] = {}
        self.ids: list[str] = []

    @rule(priority=st.integers(0, 9))
    def add(self, priority):
        self.ids.append(add(self.store, priority=priority, keep_s=1e9).id)

    @rule(most=st.integers(1, 3))
    def take(self, most):
        self.hands += take(self.store, most, self.now, lease=self.now + 2).jobs

    @rule(state=st.sampled_from(["succeeded", "dead"]), data=st.data())
    def end(self, state, data):
        if self.hands:
            job = data.draw(st.sampled_from(self.hands))
            ended = one(self.store, End(id=job.id, fence=job.fence, now=self.now, state=state, body=b""))
            if ended is not None:
                assert job.id not in self.ends
                self.ends[job.id] = state

    @rule(data=st.data())
    def again(self, data):
        if self.hands:
            job = data.draw(st.sampled_from(self.hands))
            one(self.store, Again(id=job.id, fence=job.fence, due=0, reason=REASON, failed=True, lost=False))

    @rule(data=st.data())
    def cancel(self, data):
        if self.ids:
            id = data.draw(st.sampled_from(self.ids))
            given = one(self.store, Cancel(id=id, now=self.now))
            if not isinstance(given, Conflict):
                assert self.ends.setdefault(id, "cancelled") == "cancelled"

    @rule()
    def time_passes(self):
        self.now += 3
        for job in one(self.store, Reclaim(now=self.now, due=self.now, most_losses=3)):
            if job.over:
                assert job.id not in self.ends
                self.ends[job.id] = job.state

    @invariant()
    def every_end_stays(self):
        for id, job in self.store.known(self.ids).items():
            assert (job.state if job.state in ENDED else None) == self.ends.get(id)

    def teardown(self):
        self.store.close()
        self.folder.cleanup()


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_bodies_are_whole_or_not_there(tmp_path: Path):
    bodies = JobBodies(tmp_path / "jobs")
    id = "a" * 32
    bodies.put(f"{id}.request", b"r")
    bodies.put(f"{id}.2", b"a")
    (tmp_path / "jobs" / f"{'b' * 32}.request.new").write_bytes(b"half")
    assert bodies.get(f"{id}.request") == b"r"
    assert bodies.ids() == {id}
    assert len(list((tmp_path / "jobs").iterdir())) == 2
    bodies.discard(f"{id}.request")
    with pytest.raises(NotFound):
        bodies.get(f"{id}.request")
    bodies.drop(id)
    assert bodies.ids() == set()
