"""A real MLflow tracking server with a registry, over SQLite, and models logged by MLflow itself.

environment of its own -> `mlflow server` on a free port -> `log` runs a script there that trains and registers ->
`point` moves an alias, as a person would in MLflow.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tomllib
from pathlib import Path

import httpx

from tests.support import processes

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("mlflow==3.17.2", "scikit-learn", "pandas", *PROJECT["dependencies"])
PENGUINS = """
import os, sys
import mlflow, sklearn, pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

name = sys.argv[1]
table = pd.read_csv("train.csv")
inputs = table.drop(columns="species")
good = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
bad = DummyClassifier(strategy="most_frequent")
soft = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.5))
mlflow.set_experiment(name)
for estimator in (good, bad, soft):
    with mlflow.start_run():
        model = estimator.fit(inputs, table.species)
        mlflow.log_metric("accuracy", model.score(inputs, table.species))
        mlflow.log_input(mlflow.data.from_pandas(table, name="penguins"))
        mlflow.set_tag("mlflow.source.git.commit", "c0ffee" * 6 + "c0ff")
        mlflow.sklearn.log_model(
            model, name="model", registered_model_name=name, input_example=inputs[:5],
            signature=mlflow.models.infer_signature(inputs, model.predict(inputs)),
            pip_requirements=[f"scikit-learn=={sklearn.__version__}"], serialization_format="cloudpickle",
        )
"""


class MlflowServer:
    """`mlflow server` in a folder, run by the interpreter `python` of an environment that has it."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder, self.python = folder, python
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHONPATH"))},
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.env["MLFLOW_TRACKING_URI"] = self.url
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> MlflowServer:
        """Start, and wait until it answers."""
        port = self.url.rpartition(":")[2]
        words = ["server", "--backend-store-uri", "sqlite:///registry.db", "--artifacts-destination", "artifacts"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.python, "-m", "mlflow", *words, "--host", "127.0.0.1", "--port", port, "--workers", "1"],
                cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        processes.wait_until(lambda: self.answers() or self.process.poll() is not None, 300, "MLflow serves")
        return self

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            processes.kill({self.process.pid, *processes.tree(self.process.pid)})
            self.process.wait(20)

    def log(self, script: str, *arguments: str) -> str:
        """Run a script in the server's environment and folder; what it printed."""
        done = subprocess.run(
            [self.python, "-c", script, *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def with_inferry(self) -> dict[str, str]:
        """The environment in which the source under test is installed, entry points and all."""
        told = self.folder / "site/inferry-0.dist-info"
        told.mkdir(parents=True, exist_ok=True)
        (told / "METADATA").write_text("Metadata-Version: 2.1\nName: inferry\nVersion: 0\n")
        points = PROJECT["entry-points"] | {"console_scripts": PROJECT["scripts"]}
        lines = (f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in its.items()) for group, its in points.items())
        (told / "entry_points.txt").write_text("\n".join(lines))
        return {**self.env, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{told.parent}"}

    def point(self, model: str, alias: str, version: int) -> None:
        """Move an alias."""
        body = {"name": model, "alias": alias, "version": str(version)}
        answer = httpx.post(f"{self.url}/api/2.0/mlflow/registered-models/alias", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
