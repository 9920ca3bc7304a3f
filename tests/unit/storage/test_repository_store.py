"""The repository in the store: one or none, changed and told in one transaction."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from inferry.policy import events
from inferry.storage import open_store
from inferry.types.repository import Repository
from inferry.types.webhooks import Webhook

FOLLOWED = Repository(url="/srv/git/ml.git", created=1.0, created_by="ann")


@pytest.fixture
def store(database_url):
    store = open_store(database_url)
    yield store
    assert store.check() == []
    store.close()


def test_one_is_followed_or_none(store) -> None:
    assert store.repository() is None
    assert store.change_repository(lambda _: (FOLLOWED, ())) == FOLLOWED
    other = replace(FOLLOWED, url="/srv/git/other.git", models={"m": "x"}, versions={"m": 3})
    store.change_repository(lambda _: (other, ()))
    assert store.repository() == other
    assert store.change_repository(lambda _: (None, ())) is None
    assert store.repository() is None


def test_a_commit_is_told_with_its_record_or_not_at_all(store) -> None:
    hook = Webhook(
        name="ops", url="https://example.org/", events=("gitops.*",), sealed="x", created=1.0, created_by="ann"
    )
    store.add_webhook(hook)
    store.change_repository(lambda _: (FOLLOWED, ()))
    done = replace(FOLLOWED, state="failed", commit="c1", at=5.0, words=("inferry.yaml:3: no",))
    store.change_repository(lambda _: (done, (events.looked(done),)))
    (told,) = store.waiting("ops", 9)
    assert (told.event.type, told.event.at, told.event.data["problems"]) == (
        "gitops.failed",
        5.0,
        ["inferry.yaml:3: no"],
    )

    def breaks(found):
        raise RuntimeError(found.url)

    with pytest.raises(RuntimeError):
        store.change_repository(breaks)
    assert store.repository() == done
