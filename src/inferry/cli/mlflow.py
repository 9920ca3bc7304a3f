"""`inferry mlflow`: take what an MLflow registry points at.

Data flow: the registry's alias, looked at again and again -> a version of ours with its lineage, its gates run here,
its pipeline's run -> a line whenever something is new.

It is a process of its own, and not something that control keeps: gates run where `inferry.yaml` and its data are, and
neither MLflow's credentials nor a way out to its server are then control's concern. What it has done is kept by the
platform, so it may be ended and begun anywhere.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inferry.cli.here import FILE, project_here
from inferry.cli.shared import App, emit, json_option, parse_duration, pass_app, when
from inferry.cli.test import declared, try_out

if TYPE_CHECKING:
    from inferry.bridges.mlflow_watch import Look, Wanted, Watch
    from inferry.client.version_answers import VersionInfo
    from inferry.types.project import Project

GOOD = ("current", "moved")


@click.group("mlflow")
def command() -> None:
    """Take versions from an MLflow registry.

    \b
    Example:
      inferry mlflow watch http://127.0.0.1:5000 --model fraud --alias champion
    """  # noqa: D301


@command.command("watch")
@click.argument("url", required=False, default="")
@click.option("--model", required=True, metavar="NAME", help="The model in MLflow's registry.")
@click.option("--alias", required=True, metavar="ALIAS", help="Its alias that is followed.")
@click.option("--as", "name", default="", metavar="NAME", help="The model's name here.  [default: MLflow's]")
@click.option("--interval", default="30s", callback=parse_duration, metavar="SPAN", help="How often.  [default: 30s]")
@click.option("--sample", metavar="FILE", type=click.Path(path_type=Path), help="Example input, where it has none.")
@click.option("--once", is_flag=True, help="Look once: exit code 0 when the alias's version is here and passed.")
@json_option
@pass_app
def watch(
    app: App, url: str, model: str, alias: str, name: str, interval: int, sample: Path | None, once: bool, as_json: bool
) -> int:
    """Follow an alias of MLflow's registry at URL (MLFLOW_TRACKING_URI).

    When it moves, the version that it names is fetched and pushed with its run, commit, metrics and data; its gates run
    here when inferry.yaml has a pipeline for it, and its pipeline takes over. Credentials are those of MLflow's own
    clients: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD, or ~/.mlflow/credentials.

    \b
    Examples:
      inferry mlflow watch http://127.0.0.1:5000 --model fraud --alias champion
      inferry mlflow watch --model fraud-eu --alias champion --as fraud --once
    """  # noqa: D301
    import signal

    from inferry.bridges.mlflow_login import server_of
    from inferry.bridges.mlflow_rest import Registry
    from inferry.bridges.mlflow_watch import Watch

    server = server_of(url, os.environ, Path.home())
    project = project_here()
    wanted = wanted_of(model, alias, name, sample, project)
    registry = Registry(server)
    click.get_current_context().call_on_close(registry.close)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was fetched is removed
    watched = Watch(registry, app.client(), wanted, gates_of(app, project))
    tell = emit if as_json else say_look
    if once:
        look = watched.look()
        tell(look)
        return 0 if look.state in GOOD else 1
    follow(watched, interval, tell)
    return 0


def follow(watched: Watch, interval: float, tell: Callable[[Look], None]) -> None:
    """Look for ever, and tell what is new. Raises the InferryError of a first look that no time will mend."""
    from inferry.bridges.mlflow_watch import pause_after, trouble
    from inferry.errors import Forbidden, InferryError, InvalidInput, InvalidName, Unauthorized

    last, failures, looked = None, 0, False
    while True:
        try:
            look = watched.look()
            looked, failures = True, 0
        except InferryError as error:
            if not looked and isinstance(error, (Unauthorized, Forbidden, InvalidInput, InvalidName)):
                raise
            failures += 1
            look = trouble(error)
        if look != last:
            tell(look)
            last = look
        time.sleep(pause_after(failures, interval))


def wanted_of(model: str, alias: str, name: str, sample: Path | None, project: Project | None) -> Wanted:
    """What is followed; an inferry.yaml may say how the model is pushed."""
    from inferry.bridges.mlflow_watch import Wanted
    from inferry.types.names import suggest_name

    name = name or suggest_name(model)
    said = project.models.get(name) if project is not None else None
    if said is None:
        return Wanted(model=model, alias=alias, name=name, sample=sample)
    example = sample or (Path(said.sample) if said.sample else None)
    convert = None if said.convert == "auto" else said.convert
    return Wanted(model=model, alias=alias, name=name, sample=example, convert=convert, labels=said.labels)


def gates_of(app: App, project: Project | None) -> Callable[[VersionInfo], bool | None]:
    """Runs a version's gates, when this folder's pipeline asks for them and nobody has run them yet."""

    def gate(version: VersionInfo) -> bool | None:
        pipeline = project.pipelines.get(version.model) if project is not None else None
        if version.test is not None:
            return version.test.passed
        if pipeline is None or not pipeline.gates:
            return None
        return try_out(app, declared(None), FILE, f"{version.model}:{version.number}", keep=True).passed

    return gate


def say_look(look: Look) -> None:
    """A look in a line."""
    click.echo(f"{when(time.time())}  {look.state:<8}  {look.words}")
