"""From `git push` to production: the commands of the CI templates, in order, in a real repository.

A bare repository stands for the forge; what its hook is told of a push is what a runner would check out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml

from examples import train
from tests.support.platform import inferry_command

ROOT = Path(__file__).parents[2]
GATES = """\
models:
  fraud: {path: model.joblib, sample: sample.csv, convert: never}
endpoints:
  fraud-staging: {model: fraud}
  fraud: {}
pipelines:
  fraud:
    stages:
      - endpoint: fraud-staging
      - endpoint: fraud
    alias: champion
gates:
  - gate: metrics
    data: holdout.csv
    target: species
    at_least: {accuracy: 0.9}
  - gate: robustness
"""
GOOD = "LogisticRegression(max_iter=2000)"
BAD = "DummyClassifier(strategy='most_frequent')"
TRAIN = """\
import sys
import joblib, pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
table = pd.read_csv("train.csv")
inputs = table.drop(columns="species")
model = make_pipeline(SimpleImputer(), StandardScaler(), {estimator}).fit(inputs, table.species)
joblib.dump(model, "model.joblib")
inputs.head(20).to_csv("sample.csv", index=False)
"""


def commands(template: str, job: str) -> list[str]:
    """What a template runs in a job, without installing."""
    document = yaml.safe_load((ROOT / "examples/ci" / template).read_text())
    if template == "github.yml":
        lines = [step["run"] for step in document["jobs"][job]["steps"] if "run" in step]
    else:
        lines = [*document["default"]["before_script"], *document[job]["script"]]
    return [line for line in lines if not line.startswith("pip install")]


class Forge:
    """A bare repository, a work tree that pushes to it, and the runner of a template."""

    def __init__(self, folder: Path, platform) -> None:
        self.bare, self.work, self.runner = folder / "fraud.git", folder / "work", folder / "runner"
        self.runner.mkdir()
        tools = folder / "bin"
        tools.mkdir()
        (tools / "inferry").write_text("#!/bin/sh\nexec " + " ".join(f"'{w}'" for w in inferry_command()) + ' "$@"\n')
        (tools / "inferry").chmod(0o755)
        self.env = {
            **platform.env, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "INFERRY_URL": platform.control,
            "INFERRY_API_KEY": platform.key, "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        }  # fmt: skip
        self.summary = folder / "summary.md"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.bare)], check=True)
        subprocess.run(["git", "clone", "-q", str(self.bare), str(self.work)], check=True, capture_output=True)
        self.git("checkout", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", str(self.work), *who, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def push(self, estimator: str, message: str, template: str = "github.yml", job: str = "ship"):
        """Train, commit, push, and run what the template runs for that commit: the last command's result."""
        (self.work / "train.py").write_text(TRAIN.replace("{estimator}", estimator))
        subprocess.run([sys.executable, "train.py"], cwd=self.work, check=True, capture_output=True)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.git("push", "-q", "origin", "main")
        commit = self.git("rev-parse", "HEAD")
        checkout = self.runner / commit
        subprocess.run(["git", "clone", "-q", str(self.bare), str(checkout)], check=True)
        results = []
        for command in commands(template, job):
            if results and results[-1].returncode != 0 and "summary" not in command.lower():
                continue  # as `if: always()` has it
            results.append(
                subprocess.run(
                    ["bash", "-e", "-c", command], cwd=checkout, env=self.env, capture_output=True, text=True, timeout=300,
                )
            )  # fmt: skip
        return checkout, commit, results


def tables(folder: Path) -> None:
    """Penguins, to train on and to hold out."""
    table = pd.read_csv(train.package_file("palmerpenguins", "data/penguins.csv"))
    table = table[["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "species"]].dropna()
    table = table.sample(frac=1.0, random_state=0)
    table[:240].to_csv(folder / "train.csv", index=False)
    table[240:].to_csv(folder / "holdout.csv", index=False)


@pytest.fixture
def forge(tmp_path, platform):
    made = Forge(tmp_path, platform)
    tables(made.work)
    (made.work / "inferry.yaml").write_text(GATES)
    return made


@pytest.mark.slow
def test_a_push_of_a_better_model_reaches_production_and_a_worse_one_stops_at_the_gate(forge, platform) -> None:
    _, commit, results = forge.push(GOOD, "train a model")
    assert [result.returncode for result in results] == [0, 0, 0], results[-2].stderr
    described = platform.cli("describe", "fraud")
    assert described["version"] == 1
    assert platform.cli("versions", "fraud")["versions"][0]["lineage"]["commit"] == commit
    assert platform.cli("alias", "list", "fraud")["aliases"][0]["version"] == 1

    checkout, _, results = forge.push(BAD, "guess the most frequent one")
    shipped = results[1]
    assert shipped.returncode == 1
    report = ElementTree.parse(checkout / "gates.xml")
    failures = [case.get("name") for case in report.iter("testcase") if case.find("failure") is not None]
    assert any("metrics" in name or "accuracy" in name for name in failures), failures
    assert "accuracy" in forge.summary.read_text()
    runs = platform.cli("pipeline", "list", "fraud")["runs"]
    assert [(run["version"], run["phase"]) for run in runs] == [(1, "done"), (2, "failed")]
    assert runs[-1]["reason"].startswith("The gates failed: ")
    assert (platform.cli("describe", "fraud")["version"], platform.cli("describe", "fraud-staging")["version"]) == (
        1,
        1,
    )

    _, _, results = forge.push("LogisticRegression(max_iter=2000, C=0.5)", "regularise", template="gitlab.yml")
    assert [result.returncode for result in results] == [0, 0], results[-1].stderr
    assert platform.cli("describe", "fraud")["version"] == 3


@pytest.mark.slow
def test_the_check_of_a_merge_request_changes_nothing(forge, platform) -> None:
    before = platform.cli("models")
    for template in ("github.yml", "gitlab.yml"):
        _, _, results = forge.push(GOOD, f"check by {template}", template=template, job="check")
        assert {result.returncode for result in results} == {0}, [result.stderr for result in results]
    assert platform.cli("models") == before
