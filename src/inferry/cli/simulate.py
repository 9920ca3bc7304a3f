"""`inferry simulate`: what scaling rules would do with a load, in virtual time, before it comes.

Data flow: words, and of a running endpoint its limits and measured times -> a Question -> `simulation.report` -> a
table of rules, or a document.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inferry.cli.shared import App, emit, json_option, parse_span, pass_app, say, show_table

if TYPE_CHECKING:
    from inferry.simulation.report import Question, Result
    from inferry.types.scaling import Scaling

SHAPES = ("steady", "diurnal", "flash", "bursts", "ramps", "sparse")
RULES = ("inferry", "knative", "ray-serve", "sagemaker")


def seconds(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """20ms, 30s or 5m in seconds; None when nothing was said."""
    return 0.0 if text == "auto" and param.name == "idle_timeout" else parse_span(ctx, param, text)


def time_option(name: str, help: str, default: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that takes a length of time."""
    return click.option(
        name, default=default, show_default=default is not None, metavar="TIME", callback=seconds, help=help
    )


@click.command("simulate")
@click.argument("name", required=False)
@click.option(
    "--trace",
    default="diurnal",
    show_default=True,
    metavar="SHAPE|FILE",
    help=f"{', '.join(SHAPES)}; or a CSV file with the column time (seconds), and maybe count.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 10_000_000, min_open=True),
    default=20.0,
    show_default=True,
    help="Requests a second, of the shape's ordinary load.",
)
@time_option("--duration", "How long the shape lasts.", "30m")
@click.option(
    "--cv",
    type=click.FloatRange(0.1, 20),
    default=1.0,
    show_default=True,
    help="How unevenly requests come: 1 by chance alone, 4 in clumps.",
)
@click.option(
    "--endpoints",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    help="Spread the load over so many, few of them popular.",
)
@time_option("--service", "Time of one request at a replica.")
@time_option("--cold-start", "Time until a new replica answers.")
@click.option("--min", "least", type=click.IntRange(0, 256), help="Replicas at least.")
@click.option("--max", "most", type=click.IntRange(1, 256), help="Replicas at most.")
@click.option("--target-concurrency", type=click.FloatRange(0, 1000, min_open=True), help="Requests at one replica.")
@time_option("--target-latency", "In place of it: 95 % of the answers within it.")
@time_option("--idle-timeout", "No replica runs after so long without a request; auto: chosen from cost.")
@time_option("--deadline", "Answers within it are good.", "500ms")
@click.option("--price", type=click.FloatRange(0), default=0.05, show_default=True, help="Of an hour of a replica.")
@click.option("--rule", "rules", multiple=True, type=click.Choice(RULES), help="Only this rule.  [all]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another one gives other arrivals.")
@json_option
@pass_app
def command(
    app: App, name: str | None, trace: str, rate: float, duration: float, cv: float, endpoints: int,
    service: float | None, cold_start: float | None, least: int | None, most: int | None,
    target_concurrency: float | None, target_latency: float | None, idle_timeout: float | None, deadline: float,
    price: float, rules: tuple[str, ...], seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Try scaling on a load that has not come yet.

    The rule named inferry is the code that scales endpoints; knative, ray-serve and sagemaker are the default rules of
    others, after their documents, with the same limits, service time and cold start. With NAME, the limits and times
    of that endpoint are taken where no option says otherwise.

    \b
    Examples:
      inferry simulate --trace flash --rate 50 --service 20ms --cold-start 60ms
      inferry simulate fraud --trace bursts --max 8
      inferry simulate --trace monday.csv --idle-timeout 2m --json
      inferry simulate --endpoints 10000 --rate 1e6 --service 1ms --max 256 --duration 10m
    """  # noqa: D301
    from msgspec.structs import replace

    from inferry.simulation.report import Question, answer
    from inferry.simulation.world import World
    from inferry.types.scaling import Scaling

    if trace not in SHAPES and not trace.endswith(".csv"):
        raise click.UsageError(f"--trace {trace}: there is no such shape. Shapes: {', '.join(SHAPES)}; or a .csv file.")
    if trace.endswith(".csv") and endpoints > 1:
        raise click.UsageError("A file is the trace of one endpoint: leave --endpoints out.")
    if trace.endswith(".csv") and not Path(trace).is_file():
        raise click.UsageError(f"--trace {trace}: there is no such file.")
    if duration > 31 * 86400 or duration < 1:
        raise click.UsageError("--duration is from 1s to 31d.")
    scaling, measured_s, start_s = measured(app, name) if name else (Scaling(min_replicas=0, max_replicas=64), 0, 0)
    wanted = {"min_replicas": least, "max_replicas": most, "target_concurrency": target_concurrency,
              "target_latency_s": target_latency, "idle_timeout_s": idle_timeout}  # fmt: skip
    if target_concurrency is not None and target_latency is not None:
        raise click.UsageError("--target-concurrency and --target-latency exclude each other.")
    if target_concurrency is not None:
        wanted["target_latency_s"] = 0.0
    scaling = replace(scaling, **{field: value for field, value in wanted.items() if value is not None})
    if scaling.min_replicas > scaling.max_replicas:
        raise click.UsageError(f"--min {scaling.min_replicas} is more than --max {scaling.max_replicas}.")
    tick = 0.05 if endpoints == 1 and duration <= 6 * 3600 else 0.25
    world = World(
        service_s=service or measured_s or 0.02, cold_start_s=start_s or 0.06 if cold_start is None else cold_start,
        deadline_s=deadline, tick=tick,
    )  # fmt: skip
    question = Question(
        trace=trace, rules=rules or RULES, rate=rate, seconds=duration, cv=cv, seed=seed, endpoints=endpoints,
        price=price, world=world, scaling=scaling,
    )  # fmt: skip
    with progress(endpoints) as tell:
        results = answer(question, tell)
    if as_json:
        emit({"question": question, "results": results})
    else:
        show(question, results)


@contextmanager
def progress(endpoints: int) -> Iterator[Callable[[int], None]]:
    """How far it is: a bar where somebody looks, else a line now and then."""
    if endpoints == 1:
        yield lambda _done: None
        return
    if not sys.stderr.isatty():
        lines = Lines(endpoints)
        yield lines
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    shown = TextColumn("{task.completed:,.0f} of {task.total:,.0f} endpoints")
    with Progress(BarColumn(), shown, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=endpoints)
        yield lambda done: bar.update(task, completed=done)


class Lines:
    """A line for each tenth."""

    def __init__(self, endpoints: int) -> None:
        self.endpoints = endpoints
        self.told = 0

    def __call__(self, done: int) -> None:
        """So many endpoints are done."""
        tenth = 10 * done // self.endpoints
        if tenth > self.told:
            self.told = tenth
            say(f"{done} of {self.endpoints} endpoints are done.")


def measured(app: App, name: str) -> tuple[Scaling, float, float]:
    """An endpoint's limits, the time of one request and of one start, as far as they were measured."""
    from inferry.types.scaling import Scaling

    found = app.client().scaling(name).revisions[-1]
    fixed = max(1, found.wanted)
    scaling = found.scaling or Scaling(min_replicas=fixed, max_replicas=fixed)
    return scaling, found.last.figures.service_s if found.last else 0.0, found.cold_start_s


def show(question: Question, results: list[Result]) -> None:
    """For people."""
    from inferry.types.units import time_text

    world = question.world
    say(
        f"{results[0].requests} requests, {time_text(world.service_s)} each at a replica that starts in "
        f"{time_text(world.cold_start_s)}; good is within {time_text(world.deadline_s)}."
    )
    show_table(
        ("rule", "good", "lost", "p50 ms", "p99 ms", "starts", "at most", "replica hours", "cost"),
        [(one.rule, f"{100 * one.good:.2f} %", one.lost, one.p50_ms, one.p99_ms, one.starts, one.highest,
          one.replica_hours, one.cost) for one in results],
    )  # fmt: skip
