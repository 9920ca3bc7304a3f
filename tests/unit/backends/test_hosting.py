"""Hosting: the bundles that a node keeps, and what of another machine's folder is believed."""

import os

import pytest

from inferry.backends import hosting
from inferry.backends.hosting import Copies, Hosting
from inferry.errors import InvalidModel


def check(folder, digest):
    if (folder / "model" / "weights").read_bytes() != digest.encode():
        raise InvalidModel("damaged")


@pytest.fixture
def copies(tmp_path):
    return Copies(tmp_path / "bundles", check)


def send(copies, tmp_path, digest, content):
    host = Hosting("127.0.0.1", tmp_path, copies, None, None)
    for piece in content:
        host.receive("model/weights", piece)
    host.received(digest)


def test_a_bundle_that_came_in_pieces_is_kept_under_its_digest(copies, tmp_path):
    assert copies.find("abcd") is None
    send(copies, tmp_path, "abcd", [b"ab", b"cd"])
    send(copies, tmp_path, "abcd", [b"abcd"])  # another replica of it was sent it at the same time
    assert (copies.find("abcd") / "model" / "weights").read_bytes() == b"abcd"
    assert [path.name for path in (tmp_path / "bundles").iterdir() if path.name[0] != "."] == ["abcd"]


def test_one_that_is_not_what_its_digest_says_is_not_kept(copies, tmp_path):
    with pytest.raises(InvalidModel):
        send(copies, tmp_path, "abcd", [b"else"])
    assert copies.find("abcd") is None
    assert [path.name for path in (tmp_path / "bundles").iterdir()] in ([], [".lock"])


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "model/../../outside"])
def test_a_name_outside_the_bundle_is_refused(copies, tmp_path, name):
    with pytest.raises(ValueError, match="outside"):
        Hosting("127.0.0.1", tmp_path, copies, None, None).receive(name, b"x")


def test_the_bundles_that_were_used_longest_ago_go(copies, tmp_path, monkeypatch):
    monkeypatch.setattr(hosting, "MOST_BUNDLES", 2)
    for age, digest in enumerate(("first", "second"), start=1):
        send(copies, tmp_path, digest, [digest.encode()])
        os.utime(copies.find(digest), (age, age))
    os.utime(tmp_path / "bundles" / "first", (5, 5))
    send(copies, tmp_path, "third", [b"third"])
    assert copies.find("second") is None
    assert copies.find("first") is not None
    assert copies.find("third") is not None
