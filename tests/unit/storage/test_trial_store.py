"""Tests of versions are kept as they came, and forgotten with their version."""

from __future__ import annotations

import pytest

from inferry.errors import Conflict, NotFound
from inferry.storage.metadata import open_store
from inferry.testing.store_contract import digest_of, make_commit
from inferry.types.trials import Report, Result


@pytest.fixture
def store(tmp_path):
    made = open_store(f"sqlite:///{tmp_path / 'inferry.db'}")
    made.commit_deploy(make_commit("a"), now=1)
    made.commit_deploy(make_commit("b"), now=2)
    yield made
    made.close()


def report(source: str, verdict: str = "passed") -> Report:
    result = Result(gate="metrics", name="quality", verdict=verdict, words="Why.")
    return Report(target="fraud", bundle=digest_of(f"bundle {source}"), passed=verdict != "failed", results=(result,))


def test_tests_are_numbered_by_model_and_found_by_version(store):
    first = store.keep_trial("fraud", 1, report("a"), 3, "ada")
    second = store.keep_trial("fraud", 2, report("b", "failed"), 4, "bob")
    assert [(one.number, one.version, one.passed, one.failed, one.by) for one in (first, second)] == [
        (1, 1, True, (), "ada"), (2, 2, False, ("quality",), "bob"),
    ]  # fmt: skip
    assert store.trials("fraud") == [first, second]
    assert store.trials("fraud", 2) == [second]
    assert store.trial_report("fraud", 2) == report("b", "failed")
    assert first.digest != second.digest
    assert store.check() == []


def test_a_report_of_other_bytes_is_refused(store):
    with pytest.raises(Conflict, match="is of the bundle"):
        store.keep_trial("fraud", 1, report("b"), 3, "ada")
    assert store.trials("fraud") == []


def test_what_is_not_there_is_told(store):
    with pytest.raises(NotFound):
        store.keep_trial("fraud", 9, report("a"), 3, "ada")
    with pytest.raises(NotFound):
        store.trials("spam")
    with pytest.raises(NotFound):
        store.trial_report("fraud", 1)


def test_tests_go_with_their_version_and_numbers_are_not_used_again(store):
    store.keep_trial("fraud", 1, report("a"), 3, "ada")
    store.keep_trial("fraud", 2, report("b"), 4, "ada")
    store.delete_endpoint("fraud")
    store.delete_version("fraud", 2)
    assert [one.number for one in store.trials("fraud")] == [1]
    assert store.keep_trial("fraud", 1, report("a"), 5, "ada").number == 3
    assert [version.number for version in store.prune("fraud", lambda stand: {1})] == [1]
    assert store.trials("fraud") == []
    store.delete_model("fraud")
    with pytest.raises(NotFound):
        store.trials("fraud")
