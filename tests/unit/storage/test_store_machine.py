"""Any sequence of calls leaves SqlStore and MemoryStore in the same state, and consistent."""

from __future__ import annotations

import itertools
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from inferry.errors import InferryError
from inferry.policy import traffic
from inferry.storage import open_store
from inferry.testing.memory_store import MemoryStore
from inferry.testing.store_contract import make_commit, make_key
from inferry.types.registry import RevisionConfig
from inferry.types.traffic import TrafficPlan

names = st.sampled_from(["fraud", "spam"])
numbers = st.integers(1, 5)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self, url):
        super().__init__()
        self.url = url
        self.real, self.model, self.now = open_store(self.url), MemoryStore(), 0.0

    def teardown(self):
        self.real.close()

    def both(self, method, *args, **kwargs):
        self.now += 1
        answers = []
        for store in (self.real, self.model):
            try:
                answers.append(getattr(store, method)(*args, **kwargs))
            except InferryError as error:
                answers.append(error.code)
        assert answers[0] == answers[1]

    @rule(
        source=st.sampled_from("abc"),
        model=names,
        endpoint=names,
        percent=st.sampled_from([100, 100, 30, 0]),
        keep_warm=st.booleans(),
    )
    def deploy(self, source, model, endpoint, percent, keep_warm):
        commit = make_commit(source, model=model, endpoint=endpoint, percent=percent, keep_warm=keep_warm)
        self.both("commit_deploy", commit, now=self.now)

    @rule(endpoint=names, version=numbers, replicas=st.integers(1, 3))
    def revise(self, endpoint, version, replicas):
        self.both("commit_revision", endpoint, version, RevisionConfig(replicas=replicas), now=self.now, created_by="b")

    @rule(endpoint=names, weights=st.dictionaries(numbers, st.sampled_from([0, 40, 60, 100]), max_size=2))
    def split(self, endpoint, weights):
        self.both("change_traffic", endpoint, lambda found: traffic.point(found, weights), now=self.now)

    @rule(endpoint=names, warm=st.lists(numbers, max_size=2).map(tuple), pin=st.dictionaries(st.just("k"), numbers))
    def arrange(self, endpoint, warm, pin):
        plan = TrafficPlan(warm=warm, pin=pin)
        self.both("change_traffic", endpoint, lambda found: traffic.arrange(found, plan), now=self.now)

    @rule(name=names)
    def delete_endpoint(self, name):
        self.both("delete_endpoint", name)

    @rule(name=names, number=numbers)
    def delete_version(self, name, number):
        self.both("delete_version", name, number)

    @rule(name=names)
    def delete_model(self, name):
        self.both("delete_model", name)

    @rule(name=names, id=st.sampled_from(["1", "fraud"]))
    def add_key(self, name, id):
        self.both("add_key", make_key(name, id=id, created=self.now))

    @rule(name=names)
    def delete_key(self, name):
        self.both("delete_key", name)

    @rule()
    def reopen(self):
        self.real.close()
        self.real = open_store(self.url)

    @invariant()
    def same_state(self):
        for method in ("models", "endpoints", "keys", "bundles", "check"):
            assert getattr(self.real, method)() == getattr(self.model, method)()
        for model in self.model.models():
            assert self.real.versions(model.name) == self.model.versions(model.name)
        for endpoint in self.model.endpoints():
            assert self.real.revisions(endpoint.name) == self.model.revisions(endpoint.name)


QUICK = settings(max_examples=25, stateful_step_count=20, deadline=None)


def test_on_sqlite():
    with tempfile.TemporaryDirectory() as folder:
        urls = (f"sqlite:///{folder}/{number}.db" for number in itertools.count())
        run_state_machine_as_test(lambda: StoreMachine(next(urls)), settings=QUICK)


def test_on_postgres(postgres):
    run_state_machine_as_test(lambda: StoreMachine(postgres.emptied()), settings=settings(QUICK, max_examples=8))
