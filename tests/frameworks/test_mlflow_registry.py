"""A real MLflow: its registry watched, where an alias that moves sends a version to production or to the gate that
stops it; and its own commands, which deploy here by our plugin."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from examples import train
from tests.support import processes
from tests.support.forge import Forge
from tests.support.mlflow_server import PACKAGES, PENGUINS, MlflowServer
from tests.support.platform import Platform

PROJECT = """\
models:
  penguins: {path: model, convert: never, labels: {team: birds}}
endpoints:
  penguins: {}
pipelines:
  penguins:
    stages:
      - endpoint: penguins
    alias: champion
gates:
  - gate: metrics
    data: holdout.csv
    target: species
    at_least: {accuracy: 0.9}
"""


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory, forge: Forge) -> Iterator[MlflowServer]:
    """The server, with three versions of `Penguins`: a good one, a bad one, another good one."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"), forge.python(PACKAGES))
    table = pd.read_csv(train.package_file("palmerpenguins", "data/penguins.csv"))
    table = table[["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "species"]].dropna()
    table = table.sample(frac=1.0, random_state=0)
    table[:240].to_csv(server.folder / "train.csv", index=False)
    table[240:].to_csv(server.folder / "holdout.csv", index=False)
    try:
        server.start()
        server.log(PENGUINS, "Penguins")
        yield server
    finally:
        server.stop()


class Watcher:
    """`inferry mlflow watch` in a process; `looks` are what it told."""

    def __init__(self, platform: Platform, url: str, folder: Path, *words: str) -> None:
        self.told = folder / "looks.jsonl"
        command = [*platform.command, "mlflow", "watch", url, *words, "--interval", "1s", "--json"]
        with self.told.open("ab") as told, (folder / "watch.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=platform.env, stdin=subprocess.DEVNULL, stdout=told, stderr=log
            )

    def looks(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.told.read_text().splitlines()]

    def until(self, state: str, source: str = "") -> dict[str, Any]:
        """The latest look of a state, waited for."""

        def its() -> list[dict[str, Any]]:
            return [look for look in self.looks()[-1:] if look["state"] == state and source in look["source"]]

        processes.wait_until(lambda: its() or self.process.poll() is not None, 240, f"a look says {state}: {source}")
        return its()[-1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


def settled(platform: Platform) -> list[tuple[int, str]]:
    """The runs of the pipeline, once all have ended."""
    processes.wait_until(
        lambda: all(run["ended"] for run in platform.cli("pipeline", "list", "penguins")["runs"]), 120, "all runs end"
    )
    return [(run["version"], run["phase"]) for run in platform.cli("pipeline", "list", "penguins")["runs"]]


def test_an_alias_that_moves_reaches_production_and_a_worse_model_stops_at_the_gate(
    platform: Platform, mlflow: MlflowServer, tmp_path: Path
) -> None:
    (tmp_path / "inferry.yaml").write_text(PROJECT)
    (tmp_path / "holdout.csv").write_bytes((mlflow.folder / "holdout.csv").read_bytes())
    assert platform.run("apply", cwd=tmp_path).returncode == 0
    words = ("--model", "Penguins", "--alias", "champion")
    watcher = Watcher(platform, mlflow.url, tmp_path, *words)
    try:
        assert "champion not found" in watcher.until("waiting")["words"]

        mlflow.point("Penguins", "champion", 1)
        watcher.until("current", "Penguins/1")
        assert settled(platform) == [(1, "done")]
        made = platform.cli("versions", "penguins")["versions"][0]
        assert set(made["aliases"]) == {"champion", "mlflow-champion"}
        lineage = made["lineage"]
        assert lineage["commit"] == "c0ffee" * 6 + "c0ff"
        assert lineage["metrics"]["accuracy"] > 0.9
        assert lineage["data"].startswith("mlflow:penguins@")
        assert len(lineage["run"]) == 32
        assert lineage["labels"]["mlflow.version"] == "Penguins/1"
        assert lineage["labels"]["team"] == "birds"
        row = {"bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181.0, "body_mass_g": 3750.0}
        assert platform.predict("penguins", [row])["predictions"] == [{"output": "Adelie"}]

        mlflow.point("Penguins", "champion", 2)
        watcher.until("current", "Penguins/2")
        assert [look["state"] for look in watcher.looks()] == ["waiting", "moved", "current", "failed", "current"]
        assert settled(platform) == [(1, "done"), (2, "failed")]
        assert platform.cli("describe", "penguins")["version"] == 1

        watcher.kill()
        mlflow.point("Penguins", "champion", 3)
        watcher = Watcher(platform, mlflow.url, tmp_path, *words)
        watcher.until("current", "Penguins/3")
        assert settled(platform) == [(1, "done"), (2, "failed"), (3, "done")]
        assert platform.cli("describe", "penguins")["version"] == 3

        mlflow.point("Penguins", "champion", 1)
        watcher.until("current", "Penguins/1")
        assert settled(platform)[3:] == [(1, "done")], "it goes up the ladder again"
        assert len(platform.cli("versions", "penguins")["versions"]) == 3, "and is not registered twice"
    finally:
        watcher.kill()
    once = platform.run("mlflow", "watch", mlflow.url, *words, "--once", "--json", cwd=tmp_path)
    assert (once.returncode, json.loads(once.stdout)["state"]) == (0, "current")


COMMANDS = """
import json, sys
import numpy as np, pandas as pd
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

client = get_deploy_client(sys.argv[1])
row = {"bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181.0, "body_mass_g": 3750.0}
frame = pd.DataFrame([row, {**row, "bill_length_mm": 50.0, "flipper_length_mm": 230.0, "body_mass_g": 5600.0}])
said = {"refused": {}}

def refused(name, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except MlflowException as error:
        said["refused"][name] = error.error_code

said["predictions"] = client.predict("birds", frame)["predictions"]
said["of a dict"] = client.predict("birds", {name: np.array([value]) for name, value in row.items()})["predictions"]
refused("again", client.create_deployment, "birds", "models:/Penguins/1")
refused("unknown setting", client.update_deployment, "birds", config={"replica": 2})
refused("no such deployment", client.get_deployment, "nobody")
refused("no such flavor", client.update_deployment, "birds", "models:/Penguins/1", flavor="h2o")
refused("missing column", client.predict, "birds", frame[["body_mass_g"]])
refused("nobody there", get_deploy_client("inferry:/http://127.0.0.1:9").list_deployments)
said["updated"] = client.update_deployment("birds", "models:/Penguins/3", config={"convert": "never"})
said["got"] = client.get_deployment("birds")
said["configured"] = client.update_deployment("birds", config={"timeout_s": "7.5"})
said["listed"] = [one["name"] for one in client.list_deployments()]
client.delete_deployment("birds")
client.delete_deployment("birds")
said["after"] = [one["name"] for one in client.list_deployments()]
print(json.dumps(said))
"""


def test_mlflows_own_commands_and_calls_deploy_here(platform: Platform, mlflow: MlflowServer, tmp_path: Path) -> None:
    target = f"inferry:/{platform.control}"
    variables = {**mlflow.with_inferry(), "INFERRY_API_KEY": platform.key, "INFERRY_HOME": str(platform.home)}

    def ran(*command: str) -> str:
        done = subprocess.run(
            [str(mlflow.python), *command], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=240,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    words = ("-m", "models:/Penguins/1", "--name", "birds", "-C", "convert=never")
    made = ran("-m", "mlflow", "deployments", "create", "-t", target, *words)
    assert "sklearn deployment birds is created" in made
    said = json.loads(ran("-c", COMMANDS, target).splitlines()[-1])
    assert said["predictions"] == ["Adelie", "Gentoo"]
    assert said["of a dict"] == ["Adelie"]
    assert said["refused"] == {
        "again": "RESOURCE_ALREADY_EXISTS", "unknown setting": "INVALID_PARAMETER_VALUE",
        "no such deployment": "RESOURCE_DOES_NOT_EXIST", "no such flavor": "INVALID_PARAMETER_VALUE",
        "missing column": "INVALID_PARAMETER_VALUE", "nobody there": "TEMPORARILY_UNAVAILABLE",
    }  # fmt: skip
    assert (said["updated"]["version"], said["got"]["version"], said["got"]["state"]) == (2, 2, "ready")
    assert said["configured"]["revision"] == said["updated"]["revision"] + 1
    assert "birds" in said["listed"]
    assert "birds" not in said["after"]
    lineage = [one["lineage"] for one in platform.cli("versions", "birds")["versions"]]
    assert [one["labels"]["mlflow.uri"] for one in lineage] == ["models:/Penguins/1", "models:/Penguins/3"]

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    local = ["-m", "mlflow", "deployments", "run-local", "-t", "inferry", *words[:4], "-C", f"port={port}"]
    with (tmp_path / "local.log").open("wb") as log:
        server = subprocess.Popen(
            [mlflow.python, *local], env=variables, cwd=tmp_path, start_new_session=True, stdout=log, stderr=log
        )
    try:
        processes.wait_until(lambda: alive(port) or server.poll() is not None, 240, "the model is served locally")
        assert server.poll() is None, (tmp_path / "local.log").read_text()
    finally:
        server.send_signal(signal.SIGINT)
        processes.kill(set(processes.tree(server.pid)))
        server.wait(20)


def alive(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == 200
    except httpx.TransportError:
        return False
