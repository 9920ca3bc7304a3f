"""`inferry scale`: with how many replicas an endpoint runs, fixed or as its requests need, and why so many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inferry.cli.shared import (
    App,
    emit,
    json_option,
    parse_duration,
    parse_idle,
    parse_span,
    pass_app,
    show_fields,
    show_table,
)

if TYPE_CHECKING:
    from inferry.client.answers import RevisionScaling
    from inferry.types.scaling import Figures, Scaling


class WithDefault(click.Group):
    """A group whose `to` is meant when none of its commands is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `to` in front."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["to", *args]
        return super().parse_args(ctx, args)


@click.group("scale", cls=WithDefault)
def command() -> None:
    """Set how many replicas an endpoint runs, and see why.

    \b
    Examples:
      inferry scale fraud 4
      inferry scale fraud --min 0 --max 4 --idle-timeout 60s
      inferry scale explain fraud
    """  # noqa: D301


@command.command("to")
@click.argument("name")
@click.argument("replicas", type=click.IntRange(1), required=False)
@click.option("--min", "least", type=click.IntRange(0), metavar="N", help="The number varies: so many at least.")
@click.option("--max", "most", type=click.IntRange(1), metavar="N", help="And so many at most.")
@click.option("--target-concurrency", type=click.FloatRange(0.1), metavar="X", help="Requests at one, on average.")
@click.option("--target-latency", callback=parse_span, metavar="TIME", help="95 % of answers within it, as 50ms.")
@click.option("--idle-timeout", callback=parse_idle, metavar="TIME|auto", help="None runs after such a time, as 60s.")
@click.option(
    "--down-delay", callback=parse_duration, metavar="TIME", help="So long one was not needed before it goes."
)
@click.option("--buffer", type=click.IntRange(0), metavar="N", help="More than needed while there are requests.")
@click.option(
    "--wait-price", type=click.FloatRange(0), metavar="X",
    help="For --idle-timeout auto: a second in which a request waits costs X of an idle replica.  [100]",
)  # fmt: skip
@click.option("--schedule", multiple=True, metavar="ENTRY", help="Other limits at certain times; may be given again.")
@click.option("--no-schedule", is_flag=True, help="The same limits at all times.")
@json_option
@pass_app
def to(
    app: App,
    name: str,
    replicas: int | None,
    least: int | None,
    most: int | None,
    target_concurrency: float | None,
    target_latency: float | None,
    idle_timeout: float | None,
    down_delay: int | None,
    buffer: int | None,
    wait_price: float | None,
    schedule: tuple[str, ...],
    no_schedule: bool,
    as_json: bool,
) -> None:
    """Run the endpoint NAME with REPLICAS copies, or with as many as its requests need.

    \b
    Examples:
      inferry scale fraud 4
      inferry scale fraud --min 0 --max 4 --idle-timeout 60s
      inferry scale fraud --schedule "0 8 * * mon-fri Europe/Berlin min=2 max=8 for=10h"
      inferry scale fraud --no-schedule

    An entry of the schedule is an expression of cron (minute, hour, day, month, day of the week), a time zone
    (UTC when left out), min=N or max=N or both, and for=TIME. Without for= it holds until the next such entry.
    The entries given replace those before.
    """  # noqa: D301
    if schedule and no_schedule:
        raise click.UsageError("--schedule and --no-schedule exclude each other.")
    entries = schedule or (() if no_schedule else None)
    varying = (least, most, target_concurrency, target_latency, idle_timeout, down_delay, buffer, wait_price, entries)
    if (replicas is None) == all(value is None for value in varying):
        raise click.UsageError("Give a number of replicas, or --min, --max and others between which it varies.")
    client = app.client()
    done = client.scale(
        name, replicas, min_replicas=least, max_replicas=most, target_concurrency=target_concurrency,
        target_latency_s=target_latency, idle_timeout_s=idle_timeout, down_delay_s=down_delay, buffer_replicas=buffer,
        wait_price=wait_price, schedule=entries,
    )  # fmt: skip
    if as_json:
        emit(done)
    elif replicas is not None:
        click.echo(f"{name} runs with {replicas} replicas (revision {done.revision})")
    else:
        now = next(one for one in client.scaling(name).revisions if one.revision == done.revision)
        click.echo(f"{name} runs with {limits_text(now.scaling)} (revision {done.revision})")


@command.command("explain")
@click.argument("name")
@json_option
@pass_app
def explain(app: App, name: str, as_json: bool) -> None:
    """Tell how many replicas the endpoint NAME has, and why.

    \b
    Example:
      inferry scale explain fraud
    """  # noqa: D301
    found = app.client().scaling(name)
    if as_json:
        emit(found)
        return
    for place, revision in enumerate(found.revisions):
        if place:
            click.echo()
        show(revision)


def show(found: RevisionScaling) -> None:
    """One revision for people."""
    from inferry.types.units import time_text

    last = found.last
    figures = last.figures if last is not None else None
    show_fields([
        ("revision", f"{found.revision} (version {found.version})"),
        ("replicas", f"{found.ready} ready, {found.wanted} wanted"),
        ("limits", limits_text(found.scaling)),
        *(("schedule", line) for line in schedule_lines(found.scaling)),
        ("by it now", last.schedule if last is not None else ""),
        ("waits", found.waits),
        ("why", last.reason if last is not None else ""),
        ("at a time", f"{figures.recent:.3g} requests (6 s), {figures.usual:.3g} (60 s)" if figures else ""),
        ("a second", f"{figures.recent_rate:.3g} requests (6 s), {figures.usual_rate:.3g} (60 s)" if figures else ""),
        ("late", late_text(found.scaling, figures)),
        ("one takes", time_text(figures.service_s) if figures and figures.service_s else ""),
        ("sleeps after", sleep_text(found.scaling, figures)),
        ("a start takes", time_text(found.cold_start_s) if found.cold_start_s else ""),
    ])  # fmt: skip
    if found.changes:
        import time

        click.echo()
        show_table(
            ("at", "from", "to", "why"),
            [(time.strftime("%H:%M:%S", time.localtime(one.at)), one.before, one.replicas, one.reason)
             for one in found.changes],
        )  # fmt: skip


def limits_text(scaling: Scaling | None) -> str:
    """Between what the number varies."""
    from inferry.types.units import time_text

    if scaling is None:
        return "a fixed number of replicas"
    after = time_text(scaling.idle_timeout_s) if scaling.idle_timeout_s else "a time chosen from cost"
    idle = f", none after {after} without a request" if not scaling.min_replicas else ""
    scheduled = ", others by the schedule" if scaling.schedule else ""
    return f"{scaling.min_replicas} to {scaling.max_replicas} replicas{idle}{scheduled}"


def late_text(scaling: Scaling | None, figures: Figures | None) -> str:
    """How many took longer than the target."""
    from inferry.types.units import time_text

    if scaling is None or not scaling.target_latency_s or figures is None or not figures.answered:
        return ""
    share = 100 * figures.late / figures.answered
    return f"{share:.2g} % of {figures.answered} answers took over {time_text(scaling.target_latency_s)} (6 s)"


def sleep_text(scaling: Scaling | None, figures: Figures | None) -> str:
    """For how long a last replica stays when nobody asks, where that was chosen."""
    from inferry.types.units import time_text

    if scaling is None or figures is None or not figures.keep_why:
        return ""
    return f"{time_text(figures.keep_s)} without a request: {figures.keep_why}"


def schedule_lines(scaling: Scaling | None) -> list[str]:
    """Each entry of the schedule, as it was given."""
    return [entry.text for entry in scaling.schedule] if scaling is not None else []
