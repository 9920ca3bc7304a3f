"""`make demo`: real models from file to served endpoint, each checked against itself in this process.

train -> `inferry up` in a temporary home -> `inferry deploy` each file -> held-out rows through the
SDK -> the same rows in this process: the answers must be equal -> a second version, a rollback
-> two pushes to a git repository: one goes to production, one stops at its gate -> stop
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import stream
import train
from rich.console import Console
from rich.table import Table

import inferry

INFERRY = str(Path(sys.executable).with_name("inferry"))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: what was deployed and how well it answers."""

    model: str
    version: int
    runtime: str
    rows: int
    served: float
    local: float
    equal: bool
    seconds: float


class Demo:
    """Deploys through the command line, predicts through the SDK, and keeps the score."""

    def __init__(self, say: Callable[[str], None], home: Path) -> None:
        self.say, self.home = say, home
        self.env = {**os.environ, "INFERRY_HOME": str(home)}
        self.table: list[Row] = []

    @contextmanager
    def platform(self) -> Iterator[dict[str, str]]:
        """`inferry up` on free ports; stopped as Ctrl-C would stop it."""
        ready, log = self.home.with_name("ready.json"), self.home.with_name("up.log")
        command = [INFERRY, "up", "--port", "0", "--grpc-port", "0", "--control-port", "0", "--ready-file", str(ready)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            while not ready.exists():
                if process.poll() is not None:
                    raise SystemExit(f"inferry up did not start:\n{log.read_text()}")
                time.sleep(0.02)
            yield json.loads(ready.read_text())
        finally:
            process.send_signal(signal.SIGINT)
            if process.wait(60) != 0:
                raise SystemExit(f"inferry up did not stop cleanly:\n{log.read_text()}")

    def inferry(self, *arguments: str) -> Any:
        """The JSON answer of a command."""
        result = subprocess.run(
            [INFERRY, *arguments, "--json"],
            env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode != 0:
            raise SystemExit(f"inferry {' '.join(arguments)} failed:\n{result.stderr}{result.stdout}")
        return json.loads(result.stdout)

    def deploy(self, client: inferry.Client, model: train.Trained) -> None:
        """Deploy a file, and answer the held-out rows with it."""
        sample = ["--sample", str(model.sample)] if model.sample else []
        started = time.perf_counter()
        deployed = self.inferry("deploy", str(model.file), "--name", model.name, *sample)
        endpoint = client.endpoint(model.name)
        endpoint.predict(first_row(model.rows))
        seconds = time.perf_counter() - started
        version = deployed["version"]
        what = f"[bold]{model.name}:{version}[/bold] at {deployed['url']}"
        self.say(f"   {model.file.name:20} -> {what}, first answer after {seconds:.1f} s")
        self.check(client, model, version, seconds)

    def check(self, client: inferry.Client, model: train.Trained, version: int, seconds: float) -> None:
        """Held-out rows through the endpoint and in this process: one line of the table."""
        known = self.inferry("versions", model.name)["versions"]
        runtime = next(one["runtime"] for one in known if one["number"] == version)
        served = np.asarray(client.endpoint(model.name).predict(model.rows)[model.label]).astype(str)
        local = model.local().astype(str)
        self.table.append(
            Row(
                model=model.name, version=version, runtime=runtime, rows=len(model.truth), seconds=seconds,
                served=model.accuracy(served), local=model.accuracy(local), equal=bool(np.array_equal(served, local)),
            )
        )  # fmt: skip


def push_twice(demo: Demo, folder: Path) -> list[int]:
    """Push a model that passes its gates, then one that guesses: the versions that served after each."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    repository = stream.Repository(folder, INFERRY, demo.env)
    served = []
    models = ((LogisticRegression(max_iter=1000), "a regression"), (DummyClassifier(), "one that guesses"))
    for estimator, message in models:
        said = repository.push(estimator, message)
        runs = demo.inferry("pipeline", "list", "birds")["runs"]
        served.append(demo.inferry("describe", "birds")["version"])
        demo.say(f"   git push of {message}: {stream.shipped(said, 'accuracy') or runs[-1]['reason']}")
        demo.say(f"   -> {runs[-1]['phase']}: birds:{served[-1]} serves")
    return served


def first_row(rows: Any) -> Any:
    """The first held-out row, in the form that all of them have."""
    return {name: array[:1] for name, array in rows.items()} if isinstance(rows, dict) else rows.head(1)


def show(console: Console, rows: list[Row]) -> None:
    """The table that the demo is for."""
    table = Table(title="Held-out rows, answered over HTTP and in this process", title_justify="left")
    columns = (
        "model",
        "version",
        "runtime",
        "rows",
        "accuracy served",
        "accuracy in process",
        "deploy to first answer",
    )
    for name in columns:
        table.add_column(name, justify="left" if name in ("model", "runtime") else "right")
    for row in rows:
        seconds = f"{row.seconds:.1f} s" if row.seconds else "(rollback)"
        table.add_row(
            row.model, str(row.version), row.runtime, f"{row.rows:,}", f"{row.served:.4f}", f"{row.local:.4f}", seconds
        )
    console.print(table)


def still_running(home: Path) -> list[str]:
    """Processes of this machine whose command line or environment names the demo's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue  # it ended meanwhile, or belongs to someone else
        if os.fsencode(home) in text and entry.name != str(os.getpid()):
            found.append(entry.name)
    return found


def main() -> int:
    """Run the whole story; 0 when every served answer equals the one in this process."""
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
    folder = Path(tempfile.mkdtemp(prefix="inferry-demo-"))
    try:
        console.print("[bold]1. Training on real data[/bold] (penguins, handwritten digits, rated words)")
        first, second = train.penguins(folder, version=1), train.penguins(folder, version=2)
        digits, sentiment = train.digits(folder), train.sentiment()
        demo = Demo(console.print, folder / "home")
        with demo.platform() as address:
            console.print(f"[bold]2. inferry up[/bold] listens on {address['http']} (control: {address['control']})")
            os.environ["INFERRY_HOME"] = str(demo.home)
            client = inferry.connect()
            console.print("[bold]3. inferry deploy[/bold] a pipeline, a neural network, a class with its own packages")
            for model in (first, digits, sentiment):
                demo.deploy(client, model)
            console.print("[bold]4. Deploy again, then roll back[/bold]")
            demo.deploy(client, second)
            back = demo.inferry("rollback", first.name)
            console.print(f"   rollback of {first.name}: version {back['version']} serves again")
            demo.check(client, first, back["version"], 0.0)
            console.print("[bold]5. git push[/bold]: gates, staging and production by themselves")
            pushed = push_twice(demo, folder)
            console.print()
            show(console, demo.table)
        left = still_running(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    wrong = [f"{row.model}:{row.version}" for row in demo.table if not row.equal]
    if back["version"] != 1:
        wrong.append(f"{first.name} was not rolled back to version 1")
    if pushed != [1, 1]:
        wrong.append(f"after the two pushes the versions {pushed} of birds served, not [1, 1]")
    for text in [*(f"answers differ: {name}" for name in wrong), *(f"still running: process {pid}" for pid in left)]:
        console.print(f"[red]{text}[/red]")
    if wrong or left:
        return 1
    console.print(
        "Every served answer equals the one in this process. The platform has stopped; nothing is left running."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
