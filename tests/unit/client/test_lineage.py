"""What an artifact's folder tells of where it comes from."""

from __future__ import annotations

import hashlib
import subprocess

import pytest

from inferry.client.lineage import digest_of, git_of, lineage_of, run_of, without_password
from inferry.errors import InvalidInput
from inferry.types.lineage import Lineage


def git(folder, *arguments):
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repo(tmp_path):
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "train.py").write_text("fit()\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_git_is_asked_of_the_artifacts_folder_whatever_a_hook_has_set(repo, monkeypatch):
    (repo / "model.onnx").write_bytes(b"x")  # an artifact is often not tracked: that is no change
    with monkeypatch.context() as hook:
        hook.setenv("GIT_DIR", "/nowhere")
        found = git_of(repo / "model.onnx")
    assert (len(found["commit"]), found["branch"], found["remote"], found["dirty"]) == (40, "main", "", False)
    (repo / "train.py").write_text("fit(2)\n")
    git(repo, "checkout", "-q", "--detach")
    found = git_of(repo)
    assert (found["branch"], found["dirty"]) == ("", True)


def test_no_program_that_a_repository_names_is_run(repo):
    flag = repo / "ran"
    git(repo, "config", "core.fsmonitor", f"touch {flag}")
    assert git_of(repo)["commit"]
    assert not flag.exists()


def test_outside_of_a_work_tree_or_before_a_commit_there_is_nothing(tmp_path):
    assert git_of(tmp_path / "model.onnx") == {}
    git(tmp_path, "init", "-q")
    assert git_of(tmp_path) == {}
    assert lineage_of(tmp_path, Lineage()) == Lineage()


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://ada:secret@git.example.org/a.git", "https://git.example.org/a.git"),
        ("https://token@git.example.org:8443/a.git", "https://git.example.org:8443/a.git"),
        ("ssh://git:secret@example.org/a.git", "ssh://git@example.org/a.git"),
        ("git@example.org:team/a.git", "git@example.org:team/a.git"),
        ("/srv/git/a.git", "/srv/git/a.git"),
    ],
)
def test_a_remote_is_kept_without_secrets(url, kept):
    assert without_password(url) == kept


def test_the_run_of_an_mlflow_folder_is_found(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    assert run_of(folder) == ""
    (folder / "MLmodel").write_text("flavors: {}\nrun_id: 0f3a\nutc_time_created: now\n")
    assert (run_of(folder), run_of(tmp_path), run_of(folder / "MLmodel")) == ("0f3a", "0f3a", "")
    assert lineage_of(folder, Lineage(run="mine")).run == "mine"


def test_data_is_known_by_its_digest(tmp_path):
    file = tmp_path / "train.csv"
    file.write_bytes(b"a\n")
    assert digest_of(file) == hashlib.sha256(b"a\n").hexdigest()
    folder = digest_of(tmp_path)
    (tmp_path / "more.csv").write_bytes(b"b\n")
    assert len({folder, digest_of(tmp_path), digest_of(file)}) == 3
    with pytest.raises(InvalidInput):
        digest_of(tmp_path / "nothing")


@pytest.mark.parametrize(
    "told",
    [
        Lineage(labels={"a b": "c"}),
        Lineage(labels={f"l{n}": "" for n in range(65)}),
        Lineage(labels={"a": "two\nlines"}),
        Lineage(metrics={"auc": float("nan")}),
        Lineage(message="x" * 9000),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path, told):
    with pytest.raises(InvalidInput):
        lineage_of(tmp_path, told)
