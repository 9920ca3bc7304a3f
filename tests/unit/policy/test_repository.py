"""Repositories: which can be followed, when they are looked at, and what a look means."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from inferry.errors import InvalidInput
from inferry.policy.repository import after, check, due
from inferry.types.repository import Looked, Repository

FOLLOWED = Repository(url="https://example.org/ml.git", created=1.0, created_by="ann", interval_s=30.0)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/ml.git", "https://example.org:8443/a/b", "ssh://git@example.org/ml.git", "git@example.org:ml/fraud.git",
        "file:///srv/git/ml.git", "/srv/git/ml.git", "http://127.0.0.1:3000/ml.git",
    ],
)  # fmt: skip
def test_what_git_reaches_safely_can_be_followed(url):
    assert check(replace(FOLLOWED, url=url)).url == url


@pytest.mark.parametrize(
    "url",
    [
        "", "-u", "--upload-pack=touch /tmp/x", "ext::sh -c id", "fd::3", "http://example.org/ml.git", "ml.git", "../ml",
        "https://ann:pw@example.org/ml.git", "https://token@example.org/ml.git", "ssh://git:pw@example.org/ml", "ftp://x/y",
        "https:///ml.git", "https://example.org/\nml", "-oProxyCommand=id@example.org:ml", "https://[::1",
    ],
)  # fmt: skip
def test_what_git_must_not_be_given_is_refused(url):
    with pytest.raises(InvalidInput) as caught:
        check(replace(FOLLOWED, url=url))
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"branch": "-x"}, {"branch": "a..b"}, {"branch": ""}, {"branch": "a b"}, {"branch": "a/"}, {"path": "/etc"},
        {"path": "../x"}, {"path": "a/../../b"}, {"interval_s": 0.1}, {"interval_s": 1e9},
    ],
)  # fmt: skip
def test_other_settings_that_cannot_be_are_refused(change):
    with pytest.raises(InvalidInput):
        check(replace(FOLLOWED, **change))


def test_it_is_looked_at_at_its_interval_and_when_asked():
    seen = replace(FOLLOWED, looked=100.0)
    assert not due(seen, 129.0)
    assert due(seen, 130.0)
    assert due(replace(seen, asked=101.0), 102.0)
    assert not due(replace(seen, asked=99.0), 102.0)


def test_each_commit_is_told_once():
    found, news = after(FOLLOWED, Looked(state="synced", commit="c1", models={"m": "x"}, versions={"m": 1}), 10.0, 12.0)
    assert (found.state, found.commit, found.looked, found.at, news) == ("synced", "c1", 10.0, 12.0, True)
    same, news = after(found, Looked(state="same"), 40.0, 41.0)
    assert (same, news) == (replace(found, looked=40.0), False)
    bad, news = after(same, Looked(state="failed", commit="c2", words=("no",), models={"m": "x"}), 70.0, 71.0)
    assert (bad.state, bad.commit, bad.words, news) == ("failed", "c2", ("no",), True)


def test_a_repository_that_is_away_keeps_what_is_known():
    found, _ = after(FOLLOWED, Looked(state="failed", commit="c1", words=("no",)), 10.0, 12.0)
    away, news = after(found, Looked(state="unreachable", words=("It does not answer.",)), 40.0, 41.0)
    assert (away.state, away.commit, away.words, away.trouble, news) == (
        "failed",
        "c1",
        ("no",),
        "It does not answer.",
        True,
    )
    again, news = after(away, Looked(state="unreachable", words=("It does not answer.",)), 70.0, 71.0)
    assert (again.trouble, news) == (away.trouble, False)
    back, news = after(again, Looked(state="same"), 100.0, 101.0)
    assert (back, news) == (replace(found, looked=100.0), False)


def test_what_was_broken_off_is_tried_again():
    found, _ = after(FOLLOWED, Looked(state="synced", commit="c1", models={"m": "x"}), 10.0, 12.0)
    broken, news = after(found, Looked(state="failed", words=("busy",), models={}), 40.0, 41.0)
    assert (broken.commit, broken.models, broken.state, news) == ("c1", {"m": "x"}, "failed", True)
