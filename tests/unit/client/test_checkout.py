"""A commit's files are fetched, and nothing that comes with them is run or followed."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from inferry.client.checkout import LFS, Git, is_pointer
from inferry.errors import InvalidInput, Unavailable
from tests.support.receiver import Receiver, Reply


@pytest.fixture
def work(tmp_path):
    """A work tree to commit in."""
    folder = tmp_path / "work"
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-c", "protocol.file.allow=always", *who, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "change")
    return git(folder, "rev-parse", "HEAD")


def test_the_newest_commit_comes_also_after_a_force_push(work, tmp_path):
    (work / "a.txt").write_text("one")
    first = commit(work)
    found = Git(str(work))
    assert found.newest("main") == first
    assert found.fetch("main", tmp_path / "t1") == first
    (work / "a.txt").write_text("two")
    git(work, "add", "-A")
    git(work, "commit", "-q", "--amend", "-m", "other")
    assert found.newest("main") != first
    found.fetch("main", tmp_path / "t2")
    assert (tmp_path / "t2/a.txt").read_text() == "two"
    assert found.content(tmp_path / "t1", "a.txt") != found.content(tmp_path / "t2", "a.txt")


def test_links_are_files_hooks_are_not_run_and_filters_are_left_out(work, tmp_path):
    (work / "link").symlink_to("/etc/passwd")
    (work / "model.bin").write_bytes(LFS + b"v1\noid sha256:0\nsize 9\n")
    (work / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    git(work, "-c", "filter.lfs.clean=cat", "-c", "filter.lfs.required=false", "add", "-A")
    git(work, "commit", "-q", "-m", "change")
    Git(str(work)).fetch("main", tmp_path / "tree")
    link = tmp_path / "tree/link"
    assert not link.is_symlink()
    assert link.read_text() == "/etc/passwd"
    assert is_pointer(tmp_path / "tree/model.bin")
    assert not is_pointer(link)


def test_submodules_are_refused(work, tmp_path):
    (work / "a.txt").write_text("one")
    inside = tmp_path / "inside"
    subprocess.run(["git", "init", "-q", "-b", "main", str(inside)], check=True)
    commit(inside)
    git(work, "submodule", "add", "-q", str(inside), "sub")
    commit(work)
    with pytest.raises(InvalidInput, match="sub is a submodule"):
        Git(str(work)).fetch("main", tmp_path / "tree")


def test_what_is_not_there_is_told(work, tmp_path):
    commit(work)
    with pytest.raises(Unavailable, match="no branch 'prod'"):
        Git(str(work)).newest("prod")
    with pytest.raises(Unavailable, match="git ls-remote failed"):
        Git(str(tmp_path / "nowhere")).newest("main")


def test_a_token_goes_to_the_repositorys_host_and_into_no_message():
    with Receiver(Reply(403)) as receiver:
        url = receiver.url.replace("/hook", "/ml.git")
        with pytest.raises(Unavailable) as caught:
            Git(url, "t0ken").newest("main")
        assert "t0ken" not in str(caught.value)
    header = next(got.headers["authorization"] for got in receiver.got)
    assert base64.b64decode(header.removeprefix("Basic ")) == b"x-access-token:t0ken"


def test_git_asks_nobody_for_a_password():
    asks = Reply(401, {"www-authenticate": 'Basic realm="git"'})
    with Receiver(asks) as receiver, pytest.raises(Unavailable, match="git ls-remote failed"):
        Git(receiver.url).newest("main")
