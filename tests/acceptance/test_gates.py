"""`inferry test`: a good version passes, a worse one fails and is told why, and nothing is left behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from tests.support import churn, processes
from tests.support.platform import Platform

GATES = """
gates:
  - gate: golden
    file: golden.jsonl
  - gate: metrics
    name: quality
    data: holdout.csv
    target: churned
    ignore: [region]
    positive: "yes"
    at_least: {accuracy: 0.85, auc: 0.9, f1: 0.8, precision: 0.7, recall: 0.7}
    at_most: {log_loss: 0.5, brier: 0.2}
  - {gate: slices, data: holdout.csv, target: churned, by: region, at_least: {accuracy: 0.8}}
  - {gate: latency, at_most: {p50: 5s, p99: 20s}, requests: 50}
  - {gate: memory, at_most: 4GB}
  - {gate: size, at_most: 10MB}
  - gate: robustness
  - gate: security
  - gate: parity
  - {gate: command, run: 'test -n "$INFERRY_TEST_URL"', name: shell words}
  - {gate: command, run: [sh, -c, 'test -n "$INFERRY_TEST_URL"'], name: variables}
  - {gate: pytest, file: test_model.py}
"""

FAILING = """
gates:
  - {gate: golden, file: golden.jsonl}
  - {gate: metrics, data: holdout.csv, target: churned, output: label, at_least: {accuracy: 0.9}}
  - {gate: slices, data: holdout.csv, target: churned, by: region, output: label, at_least: {accuracy: 0.9}}
  - {gate: latency, at_most: {p50: 0.001ms}, requests: 10, warmup: 0}
  - {gate: memory, at_most: 1MB}
  - {gate: size, at_most: 0.1KB}
  - {gate: schema, against: steady}
  - gate: robustness
  - gate: security
  - {gate: parity, require: true}
  - {gate: command, run: [sh, -c, "echo it is no good; exit 3"]}
  - {gate: command, run: [sleep, "60"], timeout: 200ms, name: late}
  - {gate: command, run: no-such-program, name: absent}
  - {gate: pytest, file: test_model.py}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return churn.write(tmp_path_factory.mktemp("churn"))


def run(platform: Platform, files: Path, *arguments: str, gates: str = "") -> tuple[int, dict]:
    """Exit code and report."""
    file = files / f"gates-{abs(hash(gates))}.yaml"
    file.write_text(gates)
    done = platform.run("test", *arguments, *(["--gates", str(file)] if gates else []), "--json", cwd=files)
    assert done.stdout.strip(), done.stderr
    return done.returncode, json.loads(done.stdout)


def by_name(report: dict) -> dict[str, dict]:
    return {one["name"]: one for one in report["results"]}


def test_a_good_model_passes_and_all_reports_say_so(platform: Platform, files: Path) -> None:
    reports = ["--junit", "report.xml", "--markdown", "report.md"]
    code, report = run(
        platform, files, "good.onnx", *reports, gates=GATES.replace("  - {gate: command, run: 'test", "  # ")
    )
    found = by_name(report)
    assert {name: one["words"] for name, one in found.items() if one["verdict"] == "failed"} == {}
    assert (code, report["passed"]) == (0, True)
    assert [name for name, one in found.items() if one["verdict"] == "skipped"] == ["parity"]
    assert len(found["slices"]["findings"]) == 2
    suite = ElementTree.parse(files / "report.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("11", "0", "1")
    assert "## good.onnx passed all gates" in (files / "report.md").read_text()


def test_every_kind_of_gate_fails_and_says_why(platform: Platform, files: Path) -> None:
    platform.deploy(files / "good.onnx", "steady")
    code, report = run(platform, files, "faulty", "--sample", "sample.csv", gates=FAILING)
    found = by_name(report)
    assert {name for name, one in found.items() if one["verdict"] != "failed"} == set()
    assert (code, report["passed"]) == (1, False)
    said = {name: " / ".join(finding["words"] for finding in one["findings"]) for name, one in found.items()}
    assert "golden.jsonl:" in said["golden"]
    assert "but must be at least 0.9" in said["metrics"]
    assert "region=north: accuracy is" in said["slices"]
    assert "p50 is" in said["latency"]
    assert "memory is" in said["memory"]
    assert "size is" in said["size"]
    assert "breaks callers" in said["schema"]
    assert "extreme values: age 1e+308: the answer has no number where one belongs" in said["robustness"]
    assert "(and 3 more)" in said["robustness"]
    assert "order: in another order [0].score is" in said["robustness"]
    assert "extra.pkl would import posix.system" in said["security"]
    assert "settings.txt holds a GitHub token" in said["security"]
    assert "it is served as it was given, by python" in said["parity"]
    assert said["command"] == "sh ended with 3:\nit is no good"
    assert said["late"] == "sleep took longer than 0.2 s"
    assert said["absent"] == "no-such-program cannot be started: no such file or directory"
    assert "test_old_people_with_little_money_leave" in said["pytest"]


def test_a_worse_version_fails_against_the_one_that_serves_and_the_same_one_is_not_compared(
    platform: Platform, files: Path
) -> None:
    against = (
        "gates:\n  - {gate: metrics, data: holdout.csv, target: churned, ignore: [region], against: gated,\n"
        "     not_worse_by: {accuracy: 0.02, auc: 0.5}}\n"
        "  - {gate: size, ratio: 3, against: gated}\n  - {gate: latency, ratio: {p50: 100}, against: gated, requests: 20}\n"
        "  - {gate: memory, ratio: 10, against: gated@previous}\n"
    )
    platform.deploy(files / "good.onnx", "gated")
    against += "  - {gate: schema, against: gated}\n"
    code, report = run(platform, files, "gated:1", gates=against)
    assert (code, {one["verdict"] for one in report["results"]}) == (0, {"skipped"})
    assert "gated is the same bundle" in report["results"][0]["words"]
    platform.cli("push", str(files / "worse.onnx"), "--name", "gated")
    code, report = run(platform, files, "gated:2", gates=against)
    found = by_name(report)
    assert (code, report["target"]) == (1, "gated:2")
    assert "accuracy differs from gated:1 by -0." in found["metrics"]["words"]
    assert "not shown to be not worse by more than 0.02" in found["metrics"]["words"]
    verdicts = {name: one["verdict"] for name, one in found.items()}
    assert verdicts == {
        "metrics": "failed",
        "size": "passed",
        "latency": "passed",
        "memory": "skipped",
        "schema": "passed",
    }
    assert platform.cli("describe", "gated")["version"] == 1
    tested = [version["test"] for version in platform.cli("versions", "gated")["versions"]]
    assert [(test["number"], test["version"], test["passed"], test["failed"]) for test in tested] == [
        (1, 1, True, []), (2, 2, False, ["metrics"]),
    ]  # fmt: skip
    assert "failed (metrics)" in platform.run("describe", "gated:2").stdout
    kept = platform.call("GET", "/v1/models/gated/tests/2", control=True).json()
    assert kept == report
    assert tested[1]["digest"] == hashlib.sha256(msgspec.json.encode(kept, order="sorted")).hexdigest()
    forged = platform.call("POST", "/v1/models/gated/versions/1/tests", control=True, json=kept | {"passed": True})
    assert (forged.status_code, forged.json()["error"]["code"]) == (400, "invalid_input")
    other = platform.call("POST", "/v1/models/gated/versions/1/tests", control=True, json=kept)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")


def test_without_a_gates_file_the_default_gates_run(platform: Platform, files: Path) -> None:
    code, report = run(platform, files, "good.onnx")
    assert (code, list(by_name(report))) == (0, ["robustness", "security", "parity"])


def test_mistakes_end_with_2_and_missing_versions_with_1(platform: Platform, files: Path) -> None:
    file = files / "bad.yaml"
    file.write_text("gates:\n  - gate: latency\n    at_most: {p99: 20}\n")
    done = platform.run("test", "good.onnx", "--gates", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}:3: gates[0].at_most.p99: 20 has no unit. Write a number and ms" in done.stderr
    assert platform.run("test", "nothing-here.onnx").returncode == 2
    done = platform.run("test", "never-made:1", cwd=files)
    assert (done.returncode, done.stdout) == (1, "")
    assert "never-made" in done.stderr


def test_a_test_that_is_killed_leaves_no_process_and_no_folder(platform: Platform, files: Path, tmp_path: Path) -> None:
    file = files / "slow.yaml"
    file.write_text(f"gates:\n  - {{gate: command, run: [sh, -c, 'touch {tmp_path}/begun; exec sleep 20']}}\n")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [*platform.command, "test", str(files / "good.onnx"), "--gates", str(file)],
        env={**platform.env, "TMPDIR": str(temporary)}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    processes.wait_until(lambda: (tmp_path / "begun").exists(), 120, "the command runs")
    served = [pid for pid in processes.tree(process.pid) if pid != process.pid and "sleep" not in command_of(pid)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    private = [pid for pid in served if "inferry" in command_of(pid)]
    processes.wait_until(lambda: not any(map(processes.alive, private)), 40, "the private copy has ended")
    processes.wait_until(lambda: not any(temporary.glob("inferry-*")), 10, "its folders are gone")


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
