"""GitOps on a real platform and real Git: what is committed comes to run, and what is wrong does not."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support import models
from tests.support.processes import wait_until
from tests.support.receiver import Receiver

pytestmark = pytest.mark.both_databases

DECLARED = """\
models:
  kept: {path: model_1.py, sample: x.csv}
endpoints:
  kept: {}
pipelines:
  kept:
    gates: false
    stages:
      - endpoint: kept
        smoke: 1
"""
TYPO = "inferry.yaml:10: pipelines.kept.stages[0].smoek: it is not a setting. Did you mean 'smoke'?"


class Work:
    """A bare repository, and a work tree that pushes to it."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.tree = folder / "kept.git", folder / "tree"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.bare)], check=True)
        subprocess.run(["git", "clone", "-q", str(self.bare), str(self.tree)], check=True, capture_output=True)
        self.git("checkout", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(self.tree), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def model(self, value: int) -> None:
        made = models.constant(self.tree / "made", value)
        (self.tree / "model_1.py").write_bytes(made.read_bytes())
        made.unlink()

    def push(self, *, amend: bool = False) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change", *(["--amend"] if amend else []))
        self.git("push", "-q", "--force", "origin", "main")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def work(tmp_path):
    made = Work(tmp_path)
    sample = models.column_sample(tmp_path / "samples", "x", [2, 3])
    (made.tree / "x.csv").write_bytes(sample.read_bytes())
    (made.tree / "inferry.yaml").write_text(DECLARED)
    made.model(1)
    return made


def status(platform):
    return platform.cli("gitops", "status")


def reached(platform, commit, timeout=60):
    wait_until(lambda: status(platform)["commit"] == commit, timeout, "the commit is carried out or refused")
    return status(platform)


def serving(platform):
    answer = platform.call("GET", "/v1/endpoints/kept", control=True)
    return answer.json()["version"] if answer.status_code == 200 else 0


def test_what_is_committed_runs_and_what_is_wrong_does_not(start_platform, work) -> None:
    platform = start_platform()
    first = work.push()
    with Receiver() as receiver:
        secret = platform.cli("webhooks", "add", receiver.url, "--name", "git", "--events", "gitops.*")["secret"]
        platform.cli("gitops", "follow", str(work.bare), "--interval", "1s")
        found = reached(platform, first)
        assert (found["state"], found["words"], found["versions"]) == ("synced", [], {"kept": 1})
        wait_until(lambda: serving(platform) == 1, 60, "the pipeline brings it to its endpoint")
        assert platform.cli("versions", "kept")["versions"][0]["lineage"]["commit"] == first

        (work.tree / "notes.txt").write_text("nothing that matters")  # no model is pushed again
        assert reached(platform, work.push())["versions"] == {"kept": 1}

        text = (work.tree / "inferry.yaml").read_text()
        (work.tree / "inferry.yaml").write_text(text.replace("smoke: 1", "smoek: 1"))
        work.model(2)
        found = reached(platform, work.push())
        assert found["state"] == "failed"
        assert found["words"] == [TYPO]
        assert (serving(platform), len(platform.cli("versions", "kept")["versions"])) == (1, 1)
        assert platform.run("gitops", "sync").returncode == 1

        (work.tree / "inferry.yaml").write_text(text)
        found = reached(platform, work.push(amend=True))  # a force push takes the bad commit away
        assert (found["state"], found["versions"]) == ("synced", {"kept": 2})
        wait_until(lambda: serving(platform) == 2, 60, "the next version serves")
        assert platform.cli("gitops", "sync")["state"] == "synced"
        wait_until(lambda: len(receiver.got) >= 5, 20, "each commit is told")
        events = receiver.events(secret)
    kinds = [event.type.removeprefix("inferry.gitops.") for event in events]
    assert kinds == ["synced", "synced", "failed", "failed", "synced"]  # failed again when asked for
    assert events[2].data["problems"] == [TYPO]
    platform.cli("gitops", "unfollow")
    assert platform.run("gitops", "status").returncode == 1
    assert not list((platform.home / "staging").iterdir())


def test_files_and_gates_that_must_not_be_followed_are_told_with_their_line(start_platform, work) -> None:
    platform = start_platform()
    (work.tree / "model_1.py").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (work.tree / "inferry.yaml").write_text(DECLARED.replace("x.csv", "../../secret.csv"))
    commit = work.push()
    platform.cli("gitops", "follow", str(work.bare), "--interval", "1s")
    lfs, outside = reached(platform, commit)["words"]
    assert lfs.startswith("inferry.yaml:2: models.kept.path: 'model_1.py' is kept by Git LFS.")
    assert outside.startswith("inferry.yaml:2: models.kept.sample: '../../secret.csv' leads out of the repository.")
    work.model(1)
    (work.tree / "inferry.yaml").write_text(DECLARED + "gates:\n  - gate: command\n    run: [touch, /tmp/never]\n")
    (words,) = reached(platform, work.push())["words"]
    assert words.startswith("inferry.yaml:12: gates[0].gate: it would run a program of the repository on this machine.")
    platform.cli("gitops", "follow", str(work.bare) + "-elsewhere", "--interval", "1s")
    wait_until(lambda: status(platform)["trouble"], 30, "that it is away is told")
    assert "git ls-remote failed" in status(platform)["trouble"]
    assert platform.cli("models")["models"] == []


def test_a_model_whose_gates_fail_goes_nowhere_and_the_gate_says_why(start_platform, work) -> None:
    platform = start_platform()
    gated = DECLARED.replace("gates: false", "gates: true") + "gates:\n  - gate: size\n    at_most: 0.000001MB\n"
    (work.tree / "inferry.yaml").write_text(gated)
    commit = work.push()
    platform.cli("gitops", "follow", str(work.bare), "--interval", "1s")
    found = reached(platform, commit)
    assert (found["state"], found["versions"]) == ("failed", {"kept": 1}), found["words"]
    assert found["words"][0].startswith("kept:1: the gate size failed: ")
    wait_until(lambda: platform.cli("pipeline", "list", "kept")["runs"][-1]["phase"] == "failed", 30, "its run ends")
    assert serving(platform) == 0


def test_a_control_that_is_killed_while_it_carries_out_a_commit_does_it_again(start_platform, work) -> None:
    platform = start_platform()
    commit = work.push()
    platform.cli("gitops", "follow", str(work.bare), "--interval", "1s")
    staging = platform.home / "staging"
    wait_until(lambda: any(staging.iterdir()), 30, "it has begun")
    os.kill(platform.control_pid(), signal.SIGKILL)

    def done() -> bool:
        try:
            return platform.call("GET", "/v1/repository", control=True, timeout=2).json().get("commit") == commit
        except httpx.TransportError:
            return False

    wait_until(done, 60, "the commit is carried out after all")
    assert status(platform)["state"] == "synced"
    wait_until(lambda: serving(platform) == 1, 60, "it serves")
    assert len(platform.cli("versions", "kept")["versions"]) == 1
