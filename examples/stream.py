"""The demo's last chapter: `git push` of a model reaches production by itself, or stops at the gate.

a work tree with inferry.yaml and a model -> `git push` -> the repository's hook checks it out and runs what
examples/ci/gitlab.yml runs -> gates, staging, production -> what serves now
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import joblib
import train
import yaml

PROJECT = """\
models:
  birds: {path: model.joblib, sample: sample.csv}
endpoints:
  birds-staging: {model: birds}
  birds: {}
pipelines:
  birds:
    stages:
      - endpoint: birds-staging
      - endpoint: birds
    alias: champion
gates:
  - gate: metrics
    data: holdout.csv
    target: sex
    at_least: {accuracy: 0.8}
"""


class Repository:
    """A bare repository whose hook ships each push, and the work tree of the person who trains."""

    def __init__(self, folder: Path, inferry: str, env: dict[str, str]) -> None:
        self.bare, self.work = folder / "birds.git", folder / "birds"
        tools = folder / "bin"
        tools.mkdir()
        (tools / "inferry").symlink_to(inferry)
        self.env = {**env, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        self._git("init", "-q", "--bare", "-b", "main", str(self.bare))
        self._git("init", "-q", "-b", "main", str(self.work))
        self._git("-C", str(self.work), "remote", "add", "origin", str(self.bare))
        script = Path(train.HERE, "ci/gitlab.yml").read_text(encoding="utf-8")
        commands = [line.replace("push fraud", "push birds") for line in yaml.safe_load(script)["ship"]["script"]]
        hook = self.bare / "hooks/post-receive"
        hook.parent.mkdir(exist_ok=True)
        lines = [
            "#!/bin/bash -e", "unset GIT_DIR", 'folder=$(mktemp -d)', 'trap \'rm -rf "$folder"\' EXIT',
            f"git clone -q {shlex.quote(str(self.bare))} $folder", "cd $folder", *commands,
        ]  # fmt: skip
        hook.write_text("\n".join([*lines, ""]))
        hook.chmod(0o755)

    def push(self, estimator: object, message: str) -> str:
        """Train, commit and push a model: what the hook said while it shipped it."""
        model = train.penguins(self.work, version=1)
        table = model.rows.assign(sex=model.truth)
        seen, held_out = table[: len(table) // 2], table[len(table) // 2 :]
        pipeline = joblib.load(model.file).set_params(logisticregression=estimator)
        joblib.dump(pipeline.fit(seen.drop(columns="sex"), seen.sex.to_numpy(dtype=object)), self.work / "model.joblib")
        held_out.to_csv(self.work / "holdout.csv", index=False)
        model.file.unlink()
        (self.work / "penguins.csv").rename(self.work / "sample.csv")
        (self.work / "inferry.yaml").write_text(PROJECT)
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
        self._git("-C", str(self.work), "add", "-A")
        self._git("-C", str(self.work), *who, "commit", "-q", "-m", message)
        return self._git("-C", str(self.work), "push", "origin", "main")

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], env=self.env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"git {' '.join(arguments)} failed:\n{done.stderr}")
        return done.stderr


def shipped(said: str, words: str) -> str:
    """The line of what a hook said that has these words."""
    lines = [line.removeprefix("remote:").strip() for line in said.splitlines()]
    return next((line for line in lines if words in line), "")
