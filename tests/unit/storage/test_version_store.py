"""Aliases, protections and retention in the store: one transaction each, and nothing that is used ever goes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from inferry.errors import Conflict, NotFound
from inferry.policy import traffic
from inferry.policy.retention import removable
from inferry.policy.strategy import DEFAULT_STRATEGY
from inferry.storage import open_store
from inferry.testing.store_contract import make_commit
from inferry.types.lineage import Lineage
from inferry.types.registry import Protection, RevisionConfig
from inferry.types.retention import KeptRule, Retention

DAY = 86_400.0


@pytest.fixture
def store(database_url):
    store = open_store(database_url)
    for now, source in enumerate("abc", 1):
        store.commit_deploy(make_commit(source), now=now)
    yield store
    assert store.check() == []
    store.close()


def numbers(store):
    return [version.number for version in store.versions("fraud")]


def prune(store, rule, now):
    return [version.number for version in store.prune("fraud", lambda stand: removable(stand, rule, now))]


def test_a_version_is_made_alone_and_found_by_its_source(store):
    new = replace(make_commit("d"), lineage=Lineage(commit="c0ffee", metrics={"auc": 0.5}))
    version, made = store.commit_version(new, now=5)
    assert (version.number, version.lineage, made) == (4, new.lineage, True)
    assert store.version("fraud", 4) == version
    assert store.commit_version(make_commit("d"), now=6) == (version, False)
    assert store.endpoint("fraud").updated == 3


def test_a_deploy_of_a_version_needs_it_to_be_there(store):
    _, revision, made = store.commit_deploy(replace(make_commit("a"), version=1), now=5)
    assert (revision.version, made) == (1, False)
    with pytest.raises(NotFound):
        store.commit_deploy(replace(make_commit("z"), version=9), now=6)
    assert numbers(store) == [1, 2, 3]


def test_an_alias_resolves_to_where_it_was_moved_last(store):
    assert store.move_alias("fraud", "champion", 1, 5, "ada").before == 0
    assert store.move_alias("fraud", "champion", 2, 6, "bob", expected=1).before == 1
    with pytest.raises(Conflict, match="points at fraud:2"):
        store.move_alias("fraud", "champion", 3, 7, "ada", expected=1)
    with pytest.raises(Conflict, match="is not there"):
        store.move_alias("fraud", "challenger", 3, 7, "ada", expected=1)
    assert [store.resolve("fraud", name).number for name in ("champion", "latest", 1)] == [2, 3, 1]
    assert [(a.name, a.version, a.moved, a.moved_by) for a in store.aliases("fraud")] == [("champion", 2, 6, "bob")]
    store.delete_alias("fraud", "champion", 8, "ada")
    assert [(m.before, m.after, m.by) for m in store.alias_moves("fraud")] == [
        (0, 1, "ada"), (1, 2, "bob"), (2, 0, "ada"),
    ]  # fmt: skip
    for call in (
        lambda: store.resolve("fraud", "champion"), lambda: store.resolve("nobody", "latest"),
        lambda: store.move_alias("fraud", "champion", 9, 9, ""), lambda: store.delete_alias("fraud", "champion", 9, ""),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            call()


def test_named_and_protected_versions_are_not_deleted_and_a_model_takes_its_aliases_along(store):
    store.delete_endpoint("fraud")
    store.move_alias("fraud", "champion", 1, 5, "ada")
    store.protect(Protection(model="fraud", version=2, at=5, by="ada"))
    for number in (1, 2):
        with pytest.raises(Conflict):
            store.delete_version("fraud", number)
    with pytest.raises(Conflict, match="fraud:2 is protected by ada"):
        store.delete_model("fraud")
    store.unprotect("fraud", 2)
    with pytest.raises(Conflict):
        store.unprotect("fraud", 2)
    store.keep_retention(KeptRule(model="fraud", rule=Retention(), updated=6, updated_by="ada"))
    store.delete_model("fraud")
    assert (store.models(), store.retentions()) == ([], [])


def test_a_revision_knows_when_it_stopped(store):
    assert [revision.stopped for revision in store.revisions("fraud")] == [2, 3, 0]
    store.change_traffic("fraud", lambda found: traffic.point(found, {1: 50, 3: 50}), now=7)
    store.change_traffic("fraud", lambda found: traffic.return_to(found, 3), now=8)
    assert [revision.stopped for revision in store.revisions("fraud")] == [8, 3, 0]


def test_old_versions_go_with_their_revisions_when_nothing_goes_back_to_them(store):
    rule = Retention(keep=1, rollback_s=10 * DAY)
    assert prune(store, rule, 5 * DAY) == []
    assert prune(store, rule, 20 * DAY) == [1]  # the endpoint can go back to 2 for ever
    assert [(r.number, r.version, r.replaces) for r in store.revisions("fraud")] == [(2, 2, 0), (3, 3, 2)]
    assert store.bundles() == {make_commit("b").bundle, make_commit("c").bundle}
    assert prune(store, rule, 20 * DAY) == []
    version, _, _ = store.commit_deploy(make_commit("a"), now=20 * DAY)
    assert version.number == 4


def test_a_choice_that_would_stop_what_runs_changes_nothing(store):
    for held in ({3}, {1, 2, 3}):
        with pytest.raises(Conflict):
            store.prune("fraud", lambda _, held=held: held)
    store.move_alias("fraud", "champion", 1, 5, "ada")
    with pytest.raises(Conflict):
        store.prune("fraud", lambda _: {1})
    assert numbers(store) == [1, 2, 3]
    assert len(store.revisions("fraud")) == 3


def test_what_a_rollout_moves_between_is_held(store):
    store.commit_deploy(replace(make_commit("d"), strategy=DEFAULT_STRATEGY), now=5)
    (holder,) = store.stand("fraud").holders
    assert holder.rolling == {3, 4}
    with pytest.raises(Conflict):
        store.prune("fraud", lambda _: {4})


def test_other_models_and_other_endpoints_of_the_model_are_seen(store):
    store.commit_deploy(make_commit("a", endpoint="fraud-eu"), now=4)
    store.commit_deploy(make_commit("a", model="spam"), now=4)
    store.commit_revision("fraud-eu", 1, RevisionConfig(replicas=2), 5, "ada")
    assert [holder.endpoint.name for holder in store.stand("fraud").holders] == ["fraud", "fraud-eu"]
    assert prune(store, Retention(keep=1, rollback_s=0), 20 * DAY) == []  # 1 runs there, 2 can be gone back to here


def test_rules_are_kept_one_a_model(store):
    assert store.retention("fraud") is None
    first = KeptRule(model="fraud", rule=Retention(keep=3), updated=5, updated_by="ada")
    store.keep_retention(first)
    store.keep_retention(replace(first, rule=Retention(keep=4, older_than_s=DAY)))
    assert store.retentions() == [store.retention("fraud")]
    assert store.retention("fraud").rule == Retention(keep=4, older_than_s=DAY)
    store.delete_retention("fraud")
    with pytest.raises(NotFound):
        store.delete_retention("fraud")
    with pytest.raises(NotFound):
        store.keep_retention(replace(first, model="nobody"))
