"""Old versions go by a rule; what is used, named or can be gone back to never does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput
from inferry.policy.retention import check_rule, removable, sort_out
from inferry.types.registry import Endpoint, Revision, RevisionConfig
from inferry.types.retention import Holder, Retention, Stand
from inferry.types.traffic import Mirror, Split

DAY = 86_400.0
NOW = 1000 * DAY


def revision(number, version, *, replaces=0, stopped=0.0, created=0.0, endpoint="fraud"):
    return Revision(
        endpoint=endpoint, number=number, model="fraud", version=version, bundle="b", config=RevisionConfig(),
        replaces=replaces, created=created, created_by="ada", stopped=stopped,
    )  # fmt: skip


def endpoint(traffic, split=None, name="fraud"):
    return Endpoint(name=name, model="fraud", traffic=traffic, split=split or Split(), created=0.0, updated=0.0)


def stand(count=20, **more):
    return Stand(versions={number: number * DAY for number in range(1, count + 1)}, **more)


def test_the_newest_stay_and_the_young():
    assert removable(stand(), Retention(keep=5), NOW) == set(range(1, 16))
    assert removable(stand(), Retention(keep=5, older_than_s=NOW - 10 * DAY), NOW) == set(range(1, 11))
    assert removable(stand(3), Retention(keep=5), NOW) == set()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (endpoint({1: 100}), "runs at fraud"),
        (endpoint({2: 90, 1: 10}), "runs at fraud"),
        (endpoint({2: 100}, Split(warm=(1,))), "runs at fraud"),
        (endpoint({2: 100}, Split(pins={"k": 1})), "runs at fraud"),
        (endpoint({2: 100}, Split(mirror=Mirror(revision=1))), "runs at fraud"),
    ],
)
def test_what_runs_stays(found, reason):
    holder = Holder(endpoint=found, revisions=(revision(1, 3), revision(2, 20)))
    verdicts = sort_out(stand(holders=(holder,)), Retention(keep=1), NOW)
    kept = {v.number: v.reason for v in verdicts if not v.removed}
    assert (kept.keys(), kept[3]) == ({3, 20}, reason)


def test_what_a_rollout_names_stays():
    holder = Holder(endpoint=endpoint({2: 100}), revisions=(revision(1, 3), revision(2, 20)), rolling=frozenset({1}))
    assert 3 not in removable(stand(holders=(holder,)), Retention(keep=1), NOW)


def test_where_a_rollback_goes_stays_however_long_ago_it_stopped():
    known = (revision(1, 3, stopped=DAY), revision(2, 4, replaces=1, stopped=DAY), revision(3, 5, replaces=2))
    holder = Holder(endpoint=endpoint({3: 100}), revisions=known)
    kept = set(range(1, 21)) - removable(stand(holders=(holder,)), Retention(keep=1), NOW)
    assert kept == {4, 5, 20}


def test_what_stopped_within_the_window_stays():
    known = (revision(1, 3, stopped=NOW - 5 * DAY), revision(2, 4, stopped=NOW - 50 * DAY), revision(3, 5))
    holder = Holder(endpoint=endpoint({3: 100}), revisions=known)
    rule = Retention(keep=1, rollback_s=30 * DAY)
    assert removable(stand(holders=(holder,)), rule, NOW) & {3, 4, 5} == {4}


def test_what_is_named_or_protected_stays():
    held = stand(aliases={2: ("champion", "old")}, protected=frozenset({3}))
    verdicts = {v.number: v.reason for v in sort_out(held, Retention(keep=1), NOW) if not v.removed}
    assert verdicts == {2: "is called champion, old", 3: "is protected", 20: "is one of the 1 newest"}


@pytest.mark.parametrize("rule", [{"keep": 0}, {"older_than_s": -1.0}, {"rollback_s": float("nan")}])
def test_a_rule_that_cannot_be_followed_is_refused(rule):
    with pytest.raises(InvalidInput):
        check_rule(Retention(**rule))


numbers = st.integers(1, 8)
times = st.floats(0, NOW)


@st.composite
def holders(draw, name):
    revisions = [
        revision(number, draw(numbers), replaces=draw(st.integers(0, number - 1)), stopped=draw(times), endpoint=name)
        for number in range(1, draw(numbers) + 1)
    ]
    known = st.sampled_from([one.number for one in revisions])
    first, second = draw(known), draw(known)
    traffic = {first: 100} if first == second else {first: 60, second: 40}
    split = Split(
        warm=tuple(draw(st.sets(known, max_size=2))),
        pins=draw(st.dictionaries(st.sampled_from(["k", "l"]), known, max_size=2)),
        mirror=draw(st.none() | known.map(lambda number: Mirror(revision=number))),
    )
    rolling = frozenset(draw(st.sets(known, max_size=2)))
    return Holder(endpoint=endpoint(traffic, split, name), revisions=tuple(revisions), rolling=rolling)


stands = st.builds(
    Stand,
    versions=st.dictionaries(numbers, times, min_size=1),
    aliases=st.dictionaries(numbers, st.just(("champion",)), max_size=2),
    protected=st.frozensets(numbers, max_size=2),
    holders=st.tuples(holders("fraud"), holders("fraud-eu")),
)
rules = st.builds(Retention, keep=numbers, older_than_s=times, rollback_s=times)


@given(stands, rules)
def test_nothing_that_is_needed_is_ever_removed(held, rule):
    gone = removable(held, rule, NOW)
    assert gone <= held.versions.keys()
    for holder in held.holders:
        by_number = {one.number: one for one in holder.revisions}
        running = holder.endpoint.running | set(holder.endpoint.traffic)
        needed = running | holder.rolling | {by_number[number].replaces for number in running}
        needed |= {one.number for one in holder.revisions if NOW - one.stopped < rule.rollback_s}
        assert not gone & {by_number[number].version for number in needed if number in by_number}
    assert not gone & held.aliases.keys()
    assert not gone & held.protected
    assert not gone & set(sorted(held.versions)[-rule.keep :])
    assert all(NOW - held.versions[number] >= rule.older_than_s for number in gone)


@given(stands, rules)
def test_a_second_pruning_finds_nothing_and_a_laxer_rule_removes_no_more(held, rule):
    gone = removable(held, rule, NOW)
    left = Stand(
        versions={number: created for number, created in held.versions.items() if number not in gone},
        aliases=held.aliases, protected=held.protected, holders=held.holders,
    )  # fmt: skip
    assert removable(left, rule, NOW) == set()
    laxer = Retention(keep=rule.keep + 1, older_than_s=rule.older_than_s, rollback_s=rule.rollback_s)
    assert removable(held, laxer, NOW) <= gone
