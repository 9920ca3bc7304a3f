"""`inferry experiment`: compare revisions by a metric of their feedback, with people watching all the time.

Data flow: words -> a flow of the client -> the report: who is better, by how much, how sure, what is still needed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import click

from inferry.cli.quality import span
from inferry.cli.shared import App, emit, json_option, pass_app, show_fields, show_table, when

if TYPE_CHECKING:
    from inferry.client.answers import ExperimentDetails, ExperimentInfo
    from inferry.types.experiment import Comparison

SHARE = re.compile(r"([0-9]{1,9})=([0-9]{1,3})%?")


@click.group("experiment")
def command() -> None:
    """Compare revisions by what their answers led to.

    \b
    Example:
      inferry experiment start fraud --variants 3=50,4=50 --metric accuracy --min-effect 0.02
    """  # noqa: D301


@command.command("start")
@click.argument("name")
@click.option("--variants", required=True, metavar="REV=PERCENT,...", help="Who gets what; the control first.")
@click.option("--metric", required=True, metavar="NAME", help="accuracy, absolute_error, or a value of the feedback.")
@click.option("--min-effect", type=float, required=True, metavar="X", help="The smallest difference that matters.")
@click.option("--mean", is_flag=True, help="The metric is any number.  [default: 0 or 1]")
@click.option("--lower", is_flag=True, help="Less of the metric is better.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="The chance of a wrong winner.")
@click.option("--power", type=float, default=0.8, show_default=True, help="The chance to find such a difference.")
@click.option("--expected", type=float, metavar="X", help="The control's mean, to plan with.")
@click.option("--deviation", type=float, metavar="X", help="The deviation of one outcome, to plan with.")
@click.option("--at-least", default="0s", metavar="SPAN", help="Run so long at least, such as 7d.")
@json_option
@pass_app
def start(
    app: App, name: str, variants: str, metric: str, min_effect: float, mean: bool, lower: bool, alpha: float,
    power: float, expected: float | None, deviation: float | None, at_least: str, as_json: bool,
) -> None:  # fmt: skip
    """Begin to compare revisions of the endpoint NAME.

    \b
    Examples:
      inferry experiment start fraud --variants 3=50,4=50 --metric accuracy --min-effect 0.02
      inferry experiment start shop --variants 1=80,2=20 --metric profit --min-effect 0.5 --mean --at-least 7d
    """  # noqa: D301
    kind: Literal["share", "mean"] = "mean" if mean else "share"
    better: Literal["higher", "lower"] = "lower" if lower else "higher"
    made = app.client().begin_experiment(
        name, read_shares(variants), metric, min_effect, kind=kind, better=better, alpha=alpha, power=power,
        expected=expected, deviation=deviation, min_s=span(at_least),
    )  # fmt: skip
    emit(made) if as_json else show(made)


@command.command("status")
@click.argument("name")
@json_option
@pass_app
def status(app: App, name: str, as_json: bool) -> None:
    """Say in a few lines how the latest experiment stands.

    \b
    Example:
      inferry experiment status fraud
    """  # noqa: D301
    found = app.client().experiment(name)
    emit(found) if as_json else show(found)


@command.command("report")
@click.argument("name")
@click.option("--id", "id_", default="", metavar="ID", help="One of the endpoint's experiments.  [default: the latest]")
@json_option
@pass_app
def report(app: App, name: str, id_: str, as_json: bool) -> None:
    """Show all that an experiment found.

    \b
    Example:
      inferry experiment report fraud
    """  # noqa: D301
    found = app.client().experiment(name, id=id_)
    if as_json:
        emit(found)
        return
    show(found)
    show_report(found)


@command.command("list")
@click.argument("name", required=False, default="")
@json_option
@pass_app
def list_(app: App, name: str, as_json: bool) -> None:
    """List the latest experiments, of one endpoint or of all.

    \b
    Example:
      inferry experiment list fraud
    """  # noqa: D301
    found = app.client().experiments(name)
    if as_json:
        emit({"experiments": found})
        return
    show_table(
        ("id", "endpoint", "metric", "variants", "state", "verdict", "started", "by"),
        [
            (
                e.id, e.endpoint, e.experiment.metric, shares(e), "ended" if e.ended else "running", verdict(e),
                when(e.experiment.started), e.created_by,
            )
            for e in found
        ],
    )  # fmt: skip


@command.command("stop")
@click.argument("name")
@click.option("--winner", type=click.IntRange(1), metavar="REVISION", help="Give it all traffic.  [default: as it is]")
@click.option("--reason", default="", metavar="TEXT", help="Kept with it.")
@json_option
@pass_app
def stop(app: App, name: str, winner: int | None, reason: str, as_json: bool) -> None:
    """End the experiment under way.

    \b
    Examples:
      inferry experiment stop fraud --winner 4
      inferry experiment stop fraud --reason "the campaign is over"
    """  # noqa: D301
    made = app.client().end_experiment(name, winner=winner, reason=reason)
    emit(made) if as_json else show(made)


def read_shares(text: str) -> dict[int, int]:
    """Percents by revision. Raises UsageError."""
    found: dict[int, int] = {}
    for part in text.split(","):
        match = SHARE.fullmatch(part.strip())
        if match is None or int(match[1]) in found:
            raise click.UsageError(f"{part!r} is not understood for --variants. Write them as 3=50,4=50.")
        found[int(match[1])] = int(match[2])
    return found


def shares(found: ExperimentInfo) -> str:
    """Who gets what, for people."""
    return ", ".join(f"{variant.name}={variant.weight}%" for variant in found.experiment.variants)


def verdict(found: ExperimentInfo) -> str:
    """What was found, in a word or two."""
    if found.report is None:
        return "-"
    return f"winner {found.report.winner}" if found.report.verdict == "winner" else found.report.verdict


def show(found: ExperimentInfo) -> None:
    """An experiment for people."""
    experiment, report = found.experiment, found.report
    needed = (report.needed if report else 0) or found.planned
    units = f"{report.exposed if report else 0}" + (f" of about {needed} that are needed" if needed else "")
    fields: list[tuple[str, Any]] = [
        ("experiment", found.id),
        ("endpoint", found.endpoint),
        ("variants", f"{shares(found)} (the first is the control)"),
        ("metric", f"{experiment.metric}, {experiment.better} is better, {experiment.min_effect:g} matters"),
        ("state", f"ended by {found.ended_by}: {found.reason or 'no reason given'}" if found.ended else "running"),
        ("verdict", f"{verdict(found)}: {report.reason}" if report else "not looked at yet"),
        ("units", units),
        ("started", f"{when(experiment.started)} by {found.created_by}"),
    ]
    show_fields(fields)


def show_report(found: ExperimentDetails) -> None:
    """Every comparison, for people."""
    click.echo()
    show_table(
        ("variant", "units", "with outcome", "mean"),
        [
            (
                s.variant,
                s.exposed,
                s.outcome.count,
                f"{s.outcome.total / s.outcome.count:.4g}" if s.outcome.count else "-",
            )
            for s in found.seen
        ],
    )
    if found.report is None:
        return
    click.echo()
    control = found.experiment.variants[0].name
    show_table(
        ("variant", "against", "difference", "interval at all times", "lift", "p"),
        [
            (one.variant, control, f"{one.difference:+.4g}", interval(one), part(one.lift), f"{one.p:.2g}")
            for one in found.report.comparisons
        ],
    )
    click.echo(f"\nunits fall as the weights say: p {found.report.mismatch_p:.2g}")


def interval(one: Comparison) -> str:
    """An interval for people."""
    return "too few outcomes" if one.low is None or one.high is None else f"{one.low:+.4g} to {one.high:+.4g}"


def part(value: float | None) -> str:
    """A part of the control's mean, for people."""
    return "-" if value is None else f"{value * 100:+.3g} %"
