"""Versions on a real platform: where they come from, what they are called, and who may remove them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import models
from tests.support.platform import CommandFailed
from tests.support.processes import wait_until

pytestmark = pytest.mark.both_databases


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def make(tmp_path):
    """Models whose answers tell them apart, of one signature."""
    sample = models.column_sample(tmp_path / "samples", "x", [2, 3])

    def make(value: int) -> list[str]:
        return [str(models.constant(tmp_path / "repo", value)), "--sample", str(sample)]

    return make


def push(platform, model, *arguments):
    return platform.cli("push", *model, *arguments)


def refused(platform, *arguments) -> dict[str, str]:
    with pytest.raises(CommandFailed) as failed:
        platform.cli(*arguments)
    return json.loads(failed.value.stdout)["error"]


def test_a_version_tells_where_it_comes_from(platform, make, tmp_path) -> None:
    model = make(1)
    repo, data = tmp_path / "repo", tmp_path / "train.csv"
    data.write_text("x,y\n1,2\n")
    git(repo, "init", "-q", "-b", "better")
    git(repo, "remote", "add", "origin", "https://ada:secret@git.example.org/fraud.git")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "train")
    made = platform.cli(
        "deploy", *model, "--name", "lineage", "--message", "More trees", "--label", "team=risk", "--metric", "auc=0.93",
        "--run", "r-1", "--data", str(data),
    )  # fmt: skip
    (version,) = platform.cli("versions", "lineage")["versions"]
    told = version["lineage"]
    assert told == {
        "commit": git(repo, "rev-parse", "HEAD"), "branch": "better", "remote": "https://git.example.org/fraud.git",
        "run": "r-1", "message": "More trees",
        "labels": {"team": "risk"}, "metrics": {"auc": 0.93},
    } | {"data": told["data"]}  # fmt: skip
    assert len(told["data"]) == 64
    assert made["lineage"] == told
    assert (version["created_by"], version["aliases"], version["protected"]) == ("admin", [], None)
    (repo / "constant_1.py").write_text((repo / "constant_1.py").read_text() + "# changed\n")
    platform.cli("deploy", *model, "--name", "lineage")
    described = platform.run("describe", "lineage:2").stdout
    assert f"{told['commit'][:12]} with changes (better https://git.example.org/fraud.git)" in described


def test_lineage_that_cannot_be_kept_is_refused_before_anything_is_sent(platform, make) -> None:
    assert refused(platform, "push", *make(1), "--name", "unkept", "--label", "a b=c")["code"] == "invalid_input"
    answer = platform.call("POST", "/v1/models/unkept/versions?lineage={%22commit%22:1}", control=True, content=b"")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")
    assert refused(platform, "versions", "unkept")["code"] == "not_found"


def test_a_pushed_version_serves_nothing_until_it_is_deployed_by_its_number_or_an_alias(platform, make) -> None:
    first = push(platform, make(1), "--name", "pushed", "--alias", "champion")
    second = push(platform, make(2), "--name", "pushed")
    assert [(made["version"], made["new_version"]) for made in (first, second)] == [(1, True), (2, True)]
    assert push(platform, make(2), "--name", "pushed")["new_version"] is False
    assert "pushed" not in [endpoint["name"] for endpoint in platform.cli("endpoints")["endpoints"]]
    assert [v["serving"] for v in platform.cli("versions", "pushed")["versions"]] == [[], []]

    made = platform.cli("deploy", "pushed:2")
    assert (made["endpoint"], made["version"], made["revision"], made["new_version"]) == ("pushed", 2, 1, False)
    assert platform.predict("pushed", {"x": 1})["predictions"] == [{"value": 2}]
    made = platform.cli("deploy", "pushed@champion", "--endpoint", "pushed-eu", "--replicas", "2")
    assert (made["endpoint"], made["model"], made["version"]) == ("pushed-eu", "pushed", 1)
    assert platform.predict("pushed-eu", {"x": 1})["predictions"] == [{"value": 1}]
    assert platform.cli("deploy", "pushed@champion", "--endpoint", "pushed-eu")["unchanged"] is True
    assert [v["serving"] for v in platform.cli("versions", "pushed")["versions"]] == [["pushed-eu"], ["pushed"]]

    assert refused(platform, "deploy", "pushed:9")["code"] == "not_found"
    assert refused(platform, "deploy", "pushed@nobody")["code"] == "not_found"
    platform.deploy(Path(make(3)[0]), "other", sample=Path(make(3)[2]))
    assert refused(platform, "deploy", "pushed:1", "--endpoint", "other")["code"] == "conflict"
    assert platform.predict("other", {"x": 1})["predictions"] == [{"value": 3}]


def test_an_alias_moves_in_one_step_and_its_history_stays(platform, make) -> None:
    for value in (1, 2):
        push(platform, make(value), "--name", "aliased")
    moved = platform.cli("alias", "set", "aliased", "champion", "1")
    assert (moved["before"], moved["after"], moved["by"]) == (0, 1, "admin")
    assert platform.cli("alias", "set", "aliased", "challenger", "2")["after"] == 2
    assert platform.cli("alias", "set", "aliased", "champion", "challenger", "--expect", "1")["after"] == 2
    error = refused(platform, "alias", "set", "aliased", "champion", "1", "--expect", "1")
    assert (error["code"], "aliased:2" in error["message"]) == ("conflict", True)
    assert platform.cli("describe", "aliased@champion")["number"] == 2
    assert platform.cli("describe", "aliased@latest")["number"] == 2
    assert platform.cli("describe", "aliased:2")["aliases"] == ["challenger", "champion"]

    for wrong in ("latest", "7", "Champion", "a_b"):
        assert refused(platform, "alias", "set", "aliased", wrong, "1")["code"] == "invalid_name"
    assert refused(platform, "alias", "set", "aliased", "champion", "9")["code"] == "not_found"
    assert refused(platform, "delete", "aliased:2")["code"] == "conflict"
    assert refused(platform, "delete", "aliased@champion")["code"] == "conflict"

    platform.cli("alias", "delete", "aliased", "challenger")
    assert refused(platform, "alias", "delete", "aliased", "challenger")["code"] == "not_found"
    found = platform.cli("alias", "list", "aliased")
    assert [(a["name"], a["version"]) for a in found["aliases"]] == [("champion", 2)]
    assert [(m["alias"], m["before"], m["after"]) for m in found["moves"]] == [
        ("champion", 0, 1), ("challenger", 0, 2), ("champion", 1, 2), ("challenger", 2, 0),
    ]  # fmt: skip


def test_a_protected_version_is_not_removed(platform, make) -> None:
    push(platform, make(1), "--name", "kept")
    found = platform.cli("versions", "protect", "kept:1", "--reason", "the audit")
    assert (found["protected"]["by"], found["protected"]["reason"]) == ("admin", "the audit")
    assert refused(platform, "delete", "kept:1")["code"] == "conflict"
    assert refused(platform, "delete", "kept", "--model")["code"] == "conflict"
    assert platform.cli("versions", "unprotect", "kept:1")["protected"] is None
    assert refused(platform, "versions", "unprotect", "kept:1")["code"] == "conflict"
    platform.cli("delete", "kept", "--model")
    assert refused(platform, "versions", "kept")["code"] == "not_found"


def renamed(folder: Path) -> list[str]:
    """A model that takes another column than the constants."""
    text = "class Model:\n    def predict(self, inputs):\n        return {'value': [9] * len(inputs['y'])}\n"
    sample = models.column_sample(folder / "samples", "y", [2, 3])
    return [str(models.python_file(folder, "renamed", text)), "--sample", str(sample)]


def test_a_version_that_breaks_callers_gets_no_requests_unless_that_is_meant(platform, make, tmp_path) -> None:
    platform.cli("deploy", *make(1), "--name", "callers")
    other = renamed(tmp_path)
    error = refused(platform, "deploy", *other, "--name", "callers")
    assert error["code"] == "breaking_change"
    assert "input 'x' is called 'y' now" in error["message"]
    assert "--allow-breaking" in error["help"]
    assert [v["number"] for v in platform.cli("versions", "callers")["versions"]] == [1]

    made = platform.cli("deploy", *other, "--name", "callers", "--traffic", "0")
    assert (made["version"], made["revision"]) == (2, 2)
    for move in (
        ["traffic", "callers", "1=90", "2=10"], ["rollout", "start", "callers", "--revision", "2"],
        ["deploy", "callers:2", "--replicas", "2"], ["deploy", "callers:2", "--replicas", "2", "--rollout"],
    ):  # fmt: skip
        assert refused(platform, *move)["code"] == "breaking_change"
        if move[0] != "deploy":
            found = platform.cli("traffic", "callers")["revisions"]
            assert [(row["revision"], row["percent"]) for row in found] == [(1, 100), (2, 0)]
    assert platform.predict("callers", {"x": 1})["predictions"] == [{"value": 1}]
    platform.cli("traffic", "callers", "--mirror", "2", "--pin", "qa=2")  # nobody who calls it notices

    platform.cli("traffic", "callers", "1=50", "2=50", "--no-mirror", "--allow-breaking")
    platform.cli("traffic", "callers", "1=10", "2=90")  # it has a share already
    platform.cli("traffic", "callers", "2=100")
    assert platform.predict("callers", {"y": 1})["predictions"] == [{"value": 9}]
    assert platform.cli("rollback", "callers")["revision"] == 1  # never refused
    assert platform.cli("rollback", "callers", "--revision", "2")["revision"] == 2
    platform.cli("traffic", "callers", "1=100")
    assert platform.predict("callers", {"x": 1})["predictions"] == [{"value": 1}]
    begun = platform.cli("rollout", "start", "callers", "--revision", "2", "--allow-breaking")
    assert (begun["stable"], begun["canary"]) == (1, 2)
    platform.cli("rollout", "abort", "callers")


def test_two_versions_are_compared(platform, make, tmp_path) -> None:
    sample = models.column_sample(tmp_path / "samples", "x", [2, 3])
    for version, auc in (("1.16.0", "0.91"), ("1.17.0", "0.93")):
        folder = models.with_requirements(tmp_path, "six", version)
        platform.cli(
            "push", str(folder), "--name", "compared", "--sample", str(sample), "--metric", f"auc={auc}",
            "--label", f"six={version}",
        )  # fmt: skip
    platform.cli("push", *renamed(tmp_path), "--name", "compared", "--alias", "odd")
    found = platform.cli("diff", "compared:1", "compared:2")
    told = {(d["section"], d["name"]): (d["before"], d["after"]) for d in found["differences"]}
    assert (found["before"], found["after"], found["same"], found["breaking"]) == (
        "compared:1",
        "compared:2",
        False,
        False,
    )
    assert told["packages", "six"] == ("1.16.0", "1.17.0")
    assert told["metrics", "auc"] == (0.91, 0.93)
    assert told["labels", "six"] == ("1.16.0", "1.17.0")
    assert ("files", "artifact/requirements.txt") in told
    assert ("files", "artifact/model.py") not in told
    assert found["signature"] == []

    found = platform.cli("diff", "compared:2", "compared@odd")
    assert found["breaking"] is True
    assert {change["words"] for change in found["signature"]} >= {"is called 'y' now"}
    text = platform.run("diff", "compared:2", "compared@odd").stdout
    assert "BREAKING" in text
    assert "six" in text
    assert platform.cli("diff", "compared@odd", "compared:3")["same"] is True
    assert refused(platform, "diff", "compared", "compared:3")["code"] == "invalid_name"
    assert refused(platform, "diff", "compared:1", "compared:9")["code"] == "not_found"


def stored(platform) -> set[str]:
    return {path.name for path in (platform.home / "bundles").iterdir()}


def test_old_versions_go_by_a_rule_and_what_is_used_stays(start_platform, make) -> None:
    platform = start_platform()
    made = [push(platform, make(value), "--name", "old") for value in range(1, 7)]
    for number in (3, 4):
        platform.cli("deploy", f"old:{number}")
    platform.cli("alias", "set", "old", "champion", "1")
    platform.cli("versions", "protect", "old:2")
    rule = ["--keep", "1", "--rollback", "1s"]

    told = platform.cli("versions", "prune", "old", *rule, "--dry-run")
    reasons = {row["number"]: row["reason"] for row in told["versions"] if not row["removed"]}
    assert (told["dry_run"], [row["number"] for row in told["versions"] if row["removed"]]) == (True, [5])
    assert reasons == {
        1: "is called champion", 2: "is protected", 3: "can be gone back to at old", 4: "runs at old",
        6: "is one of the 1 newest",
    }  # fmt: skip
    assert len(platform.cli("versions", "old")["versions"]) == 6
    assert (
        platform.cli("versions", "prune", "old", "--keep", "1", "--older-than", "30d")["versions"][4]["removed"]
        is False
    )

    platform.cli("versions", "prune", "old", *rule)
    assert [v["number"] for v in platform.cli("versions", "old")["versions"]] == [1, 2, 3, 4, 6]
    assert stored(platform) == {one["bundle"] for one in made if one["version"] != 5}
    assert platform.cli("rollback", "old")["version"] == 3
    assert platform.predict("old", {"x": 1})["predictions"] == [{"value": 3}]
    assert platform.cli("doctor")["ok"] is True

    platform.cli("alias", "delete", "old", "champion")
    platform.cli("versions", "unprotect", "old:2")
    kept = platform.cli("versions", "retention", "old", *rule)
    assert (kept["rule"]["keep"], kept["updated_by"]) == (1, "admin")
    platform.stop()
    platform.start()  # the rule is followed when control starts, and every hour
    wait_until(lambda: len(platform.cli("versions", "old")["versions"]) == 2, 30, "the rule is followed")
    assert [v["number"] for v in platform.cli("versions", "old")["versions"]] == [3, 6]
    assert platform.predict("old", {"x": 1})["predictions"] == [{"value": 3}]
    platform.cli("versions", "retention", "old", "--off")
    assert platform.cli("versions", "retention", "old")["rule"] is None
    assert refused(platform, "versions", "prune", "nobody")["code"] == "not_found"
