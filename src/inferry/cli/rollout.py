"""`inferry rollout`: move traffic to a revision step by step, and watch what is decided.

Data flow: words -> a flow of the client -> the rollout, its checks and its decisions, in lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from inferry.cli.shared import App, emit, json_option, pass_app, say, show_fields, show_table, when

if TYPE_CHECKING:
    from inferry.client.answers import RolloutDetails, RolloutInfo
    from inferry.types.rollout import RecordedDecision, Strategy

POLL_S = 1.0


@click.group("rollout")
def command() -> None:
    """Move traffic step by step, watched by an analysis.

    \b
    Example:
      inferry deploy better.joblib --name fraud --rollout
    """  # noqa: D301


@command.command("start")
@click.argument("name")
@click.option("--revision", type=click.IntRange(1), required=True, metavar="N", help="The revision to move to.")
@click.option("--strategy", type=click.Path(path_type=Path), metavar="FILE", help="Steps and checks, YAML or JSON.")
@click.option("--allow-breaking", is_flag=True, help="Even if it breaks who calls the endpoint.")
@json_option
@pass_app
def start(app: App, name: str, revision: int, strategy: Path | None, allow_breaking: bool, as_json: bool) -> None:
    """Begin to move the endpoint NAME to a revision.

    \b
    Examples:
      inferry rollout start fraud --revision 4
      inferry rollout start fraud --revision 4 --strategy careful.yaml
    """  # noqa: D301
    steps = None if strategy is None else read_strategy(strategy)
    made = app.client().begin_rollout(name, revision, steps, allow_breaking=allow_breaking)
    emit(made) if as_json else show(made)


@command.command("status")
@click.argument("name")
@json_option
@pass_app
def status(app: App, name: str, as_json: bool) -> None:
    """Show the latest rollout of an endpoint, and what its checks say.

    \b
    Example:
      inferry rollout status fraud
    """  # noqa: D301
    found = app.client().rollout(name)
    if as_json:
        emit(found)
        return
    show(found)
    show_readings(found)


@command.command("history")
@click.argument("name")
@click.option("--id", "id_", default="", metavar="ID", help="One of the endpoint's rollouts.  [default: the latest]")
@json_option
@pass_app
def history(app: App, name: str, id_: str, as_json: bool) -> None:
    """Show all that a rollout decided, with the evidence.

    \b
    Example:
      inferry rollout history fraud
    """  # noqa: D301
    found = app.client().rollout(name, id=id_)
    if as_json:
        emit(found)
        return
    for decision in found.decisions:
        say_decision(decision)
        for reading in decision.evidence:
            click.echo(f"    {reading.check}: {reading.verdict}: {reading.words}")


@command.command("list")
@click.argument("name", required=False, default="")
@json_option
@pass_app
def list_(app: App, name: str, as_json: bool) -> None:
    """List the latest rollouts, of one endpoint or of all.

    \b
    Example:
      inferry rollout list fraud
    """  # noqa: D301
    found = app.client().rollouts(name)
    if as_json:
        emit({"rollouts": found})
        return
    show_table(
        ("id", "endpoint", "from", "to", "phase", "share", "started", "by"),
        [(r.id, r.endpoint, r.stable, r.canary, r.phase, f"{r.weight}%", when(r.started), r.created_by) for r in found],
    )


@command.command("watch")
@click.argument("name")
@json_option
@pass_app
def watch(app: App, name: str, as_json: bool) -> int:
    """Follow a rollout to its end.

    The exit code is 0 when it was promoted, 1 when it was aborted.

    \b
    Example:
      inferry rollout watch fraud
    """  # noqa: D301
    client, seen, last = app.client(), 0, ""
    while True:
        found = client.rollout(name, after=seen)
        for decision in found.decisions:
            seen = decision.number
            emit(decision) if as_json else say_decision(decision)
        if found.ended:
            return 0 if found.phase == "promoted" else 1
        line = progress(found)
        if line != last and not as_json:
            say(line)
            last = line
        time.sleep(POLL_S)


def progress(found: RolloutDetails) -> str:
    """Where it stands, in a line."""
    said = "; ".join(f"{r.check} {r.verdict}" for r in found.readings if r.verdict not in ("missing", "pass"))
    return f"{found.phase}, step {found.step} of {found.steps} at {found.weight}%" + (f": {said}" if said else "")


Kind = Literal["pause", "resume", "skip", "promote", "abort"]
reason_option: Callable[[Any], Any] = click.option("--reason", default="", metavar="TEXT", help="Kept in its history.")


@command.command("pause")
@click.argument("name")
@reason_option
@click.option("--hold", is_flag=True, help="Do not even abort it while it is paused.")
@json_option
@pass_app
def pause(app: App, name: str, reason: str, hold: bool, as_json: bool) -> None:
    """Stand still at the present share.

    \b
    Example:
      inferry rollout pause fraud --reason "the batch job runs"
    """  # noqa: D301
    done(app.client().act_on_rollout(name, "pause", reason=reason, guarded=not hold), as_json=as_json)


def _act(kind: Kind, help: str) -> None:
    @command.command(kind, help=f"{help}\n\n\b\nExample:\n  inferry rollout {kind} fraud")
    @click.argument("name")
    @reason_option
    @json_option
    @pass_app
    def act(app: App, name: str, reason: str, as_json: bool) -> None:
        done(app.client().act_on_rollout(name, kind, reason=reason), as_json=as_json)


_act("resume", "Go on after a pause, or approve a step.")
_act("skip", "Take the next step now.")
_act("promote", "Give the new revision all traffic now.")
_act("abort", "Give all traffic back to the old revision now.")


def done(made: RolloutInfo, *, as_json: bool) -> None:
    """The rollout after what was asked."""
    emit(made) if as_json else show(made)


def read_strategy(path: Path) -> Strategy:
    """A strategy of a file, YAML or JSON. Raises UsageError with what is wrong."""
    import msgspec

    from inferry.bundles.yaml import YamlError, read_yaml
    from inferry.types.rollout import Strategy

    try:
        text = path.read_text("utf-8")
        raw = msgspec.json.decode(text) if path.suffix == ".json" else read_yaml(text)
        return msgspec.convert(raw, Strategy)
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}.") from error
    except (YamlError, msgspec.DecodeError, ValueError, RecursionError) as error:
        raise click.UsageError(f"{path}: {error}.") from error


def show(found: RolloutInfo) -> None:
    """A rollout for people."""
    paused = f", by {found.pause.by}: {found.pause.reason or found.pause.kind}" if found.pause else ""
    show_fields([
        ("rollout", found.id),
        ("endpoint", found.endpoint),
        ("from", f"revision {found.stable}"),
        ("to", f"revision {found.canary}, {found.weight}% of the traffic"),
        ("state", f"{found.phase}{paused}"),
        ("step", f"{found.step} of {found.steps}" if not found.ended else ""),
        ("because", found.reason),
        ("started", f"{when(found.started)} by {found.created_by}"),
    ])  # fmt: skip


def show_readings(found: RolloutDetails) -> None:
    """What the checks say, for people."""
    told = [reading for reading in found.readings if reading.verdict != "missing"]
    if told:
        click.echo()
        show_table(("check", "says", "in words"), [(r.check, r.verdict, r.words) for r in told])
    missing = [reading.check for reading in found.readings if reading.verdict == "missing"]
    if missing:
        click.echo(f"\nno data: {', '.join(missing)}")


def say_decision(decision: RecordedDecision) -> None:
    """A decision in a line."""
    moment = time.strftime("%H:%M:%S", time.localtime(decision.at))
    click.echo(f"{moment}  {decision.action:<8} {decision.weight:>3}%  {decision.reason}")
