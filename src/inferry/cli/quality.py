"""`inferry quality`: how right each version of an endpoint was, by the truth that came for its predictions.

Data flow: a client's flow -> versions with their figures and intervals, as a table or a document.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from inferry.cli.shared import App, emit, json_option, pass_app, say, show_table

if TYPE_CHECKING:
    from inferry.types.quality import Metric, Quality

SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@click.command("quality")
@click.argument("name")
@click.option(
    "--since", default="7d", show_default=True, metavar="SPAN", help="Predictions of how long: 90m, 12h, 30d."
)
@json_option
@pass_app
def command(app: App, name: str, since: str, as_json: bool) -> None:
    """Show how right each version was.

    NAME is the endpoint, as feedback came for its predictions.

    \b
    Examples:
      inferry quality fraud
      inferry quality fraud --since 30d --json
    """  # noqa: D301
    found = app.client().quality(name, since_s=span(since))
    emit(found) if as_json else show(found)


def span(text: str) -> float:
    """Seconds of a span such as 12h. Raises UsageError."""
    match = SPAN.fullmatch(text)
    if match is None:
        raise click.UsageError(f"{text!r} is not understood for --since. Write it as 90m, 12h or 30d.")
    return float(match[1]) * UNITS[match[2]]


def show(found: Quality) -> None:
    """Figures for people."""
    rows: list[tuple[object, ...]] = []
    for version in found.versions:
        of = f"{version.joined} of {version.captured}"
        if not version.metrics:
            rows.append((version.version, of, "-", "", "", 0))
        rows += [
            (version.version, of, one.name, f"{one.value:.4g}", interval(one), one.count) for one in version.metrics
        ]
    show_table(("version", "with truth", "metric", "value", "95 % interval", "of"), rows)
    for version in found.versions:
        if len(version.classes) > 2:
            click.echo(f"\nversion {version.version}, by class")
            show_table(
                ("class", "true", "precision", "recall", "f1"),
                [(c.label, c.count, part(c.precision), part(c.recall), part(c.f1)) for c in version.classes],
            )
    if found.cut:
        say("There are more predictions than are looked at: these are the latest. Give a shorter --since.")


def interval(metric: Metric) -> str:
    """An interval for people."""
    return "" if metric.low is None or metric.high is None else f"{metric.low:.4g} to {metric.high:.4g}"


def part(value: float | None) -> str:
    """A share for people."""
    return "-" if value is None else f"{value:.3f}"
