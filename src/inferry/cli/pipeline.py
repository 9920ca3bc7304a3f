"""`inferry pipeline`: versions on their way from a push to production."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from inferry.cli.shared import App, emit, json_option, pass_app, say, show_fields, show_table, when

if TYPE_CHECKING:
    from inferry.client import Client
    from inferry.client.pipeline_answers import RunDetails, RunInfo, RunStep

POLL_S = 0.5
reason_option: Callable[[Any], Any] = click.option("--reason", default="", metavar="TEXT", help="Kept in its history.")
id_option: Callable[[Any], Any] = click.option(
    "--id", "id_", default="", metavar="ID", help="One run.  [default: the latest]"
)


@click.group("pipeline")
def command() -> None:
    """Follow versions up the ladder, approve and cancel.

    \b
    Example:
      inferry pipeline watch fraud
    """  # noqa: D301


@command.command("list")
@click.argument("model", required=False, default="")
@json_option
@pass_app
def list_(app: App, model: str, as_json: bool) -> None:
    """List the latest runs, of one model or of all.

    \b
    Example:
      inferry pipeline list fraud
    """  # noqa: D301
    found = app.client().runs(model)
    if as_json:
        emit({"runs": found})
        return
    show_table(
        ("id", "version", "phase", "stage", "since", "because"),
        [(r.id, f"{r.model}:{r.version}", r.phase, place(r), when(r.since), r.reason) for r in found],
    )


@command.command("status")
@click.argument("model")
@id_option
@json_option
@pass_app
def status(app: App, model: str, id_: str, as_json: bool) -> None:
    """Show the latest run of a model, with all its steps.

    \b
    Example:
      inferry pipeline status fraud
    """  # noqa: D301
    found = app.client().run(model, id=id_)
    if as_json:
        emit(found)
        return
    show(found)
    click.echo()
    for step in found.events:
        say_step(step)


@command.command("watch")
@click.argument("model")
@id_option
@json_option
@pass_app
def watch(app: App, model: str, id_: str, as_json: bool) -> int:
    """Follow a run to its end.

    The exit code is 0 when the version is in production, 1 when it is not.

    \b
    Example:
      inferry pipeline watch fraud
    """  # noqa: D301
    ended = follow(app.client(), model, id_, emit if as_json else say_step)
    return 0 if ended.phase == "done" else 1


def follow(client: Client, model: str, id: str, tell: Callable[[RunStep], Any] | None) -> RunDetails:
    """Tell each step of a run as it happens, until it has ended."""
    seen, last = 0, ""
    while True:
        found = client.run(model, id=id, after=seen)
        id = found.id
        for step in found.events:
            seen, last = step.number, step.words
            if tell is not None:
                tell(step)
        if found.ended:
            return found
        if found.reason not in ("", last):
            say(f"{found.phase}: {found.reason}")
            last = found.reason
        time.sleep(POLL_S)


@command.command("start")
@click.argument("reference", metavar="MODEL:N")
@json_option
@pass_app
def start(app: App, reference: str, as_json: bool) -> None:
    """Send a version that is there up the ladder.

    \b
    Example:
      inferry pipeline start fraud:7
    """  # noqa: D301
    from inferry.types.names import version_reference

    model, version = version_reference(reference)
    client = app.client()
    made = client.start_run(model, version if isinstance(version, int) else client.version(model, version).number)
    emit(made) if as_json else show(made)


@command.command("approve")
@click.argument("model")
@id_option
@reason_option
@json_option
@pass_app
def approve(app: App, model: str, id_: str, reason: str, as_json: bool) -> None:
    """Let a version begin the stage that waits for approval.

    \b
    Example:
      inferry pipeline approve fraud --reason "checked by risk"
    """  # noqa: D301
    made = app.client().act_on_run(model, "approve", id=id_, reason=reason)
    emit(made) if as_json else show(made)


@command.command("cancel")
@click.argument("model")
@id_option
@reason_option
@json_option
@pass_app
def cancel(app: App, model: str, id_: str, reason: str, as_json: bool) -> None:
    """End a run; what its stage has done is undone.

    \b
    Example:
      inferry pipeline cancel fraud
    """  # noqa: D301
    made = app.client().act_on_run(model, "cancel", id=id_, reason=reason)
    emit(made) if as_json else show(made)


def show(found: RunInfo) -> None:
    """A run for people."""
    show_fields([
        ("run", found.id),
        ("version", f"{found.model}:{found.version}"),
        ("phase", found.phase),
        ("stage", place(found)),
        ("because", found.reason),
        ("started", f"{when(found.started)} by {found.created_by}"),
    ])  # fmt: skip


def place(found: RunInfo) -> str:
    """`2 of 2, fraud`."""
    return f"{found.stage} of {found.stages}, {found.endpoint}"


def say_step(step: RunStep) -> None:
    """One step in a line."""
    click.echo(f"{when(step.at)}  {step.phase:<10}  {step.words}  ({step.by})")
