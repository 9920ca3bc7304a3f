"""`inferry jobs`: predictions that are accepted now and answered later.

Data flow: `-d` as `inferry predict` takes it -> a job, kept durably -> its state, its result, its end.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from inferry.cli.predict import read_data
from inferry.cli.quality import span
from inferry.cli.shared import App, emit, json_option, parse_duration, pass_app, say, show_fields, show_table, when

if TYPE_CHECKING:
    from inferry.client.answers import Answer
    from inferry.client.job_answers import JobInfo

STATES = ("waiting", "running", "succeeded", "dead", "cancelled")
WAIT = "Wait so long for its end: 30s, 5m."


@click.group("jobs")
def command() -> None:
    """Have predictions made later.

    \b
    Example:
      inferry jobs submit fraud -d @rows.csv
    """  # noqa: D301


@command.command("submit")
@click.argument("name")
@click.option("-d", "--data", metavar="JSON|@FILE|-", help="The input.  [default: the endpoint's example]")
@click.option("--idempotency-key", default="", metavar="KEY", help="The same key gives the same job.")
@click.option("--priority", type=click.IntRange(0, 9), help="Higher begins first.  [default: 5]")
@click.option("--attempts", type=click.IntRange(1, 100), help="How often it may fail.  [default: 5]")
@click.option("--keep", callback=parse_duration, metavar="TIME", help="How long its result is kept.  [default: 1d]")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="For one attempt.")
@click.option("--wait", metavar="SPAN", help=WAIT)
@json_option
@pass_app
def submit(
    app: App, name: str, data: str | None, idempotency_key: str, priority: int | None, attempts: int | None,
    keep: int | None, timeout: float | None, wait: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Have the endpoint NAME predict later; prints the job's id.

    \b
    Examples:
      inferry jobs submit fraud -d '{"age": 41, "job": "clerk"}' --priority 9
      inferry jobs submit fraud -d @rows.csv --idempotency-key rows-of-may --json
    """  # noqa: D301
    client = app.client()
    endpoint = client.endpoint(name)
    made = client.submit_job(
        name, endpoint.example() if data is None else read_data(data, endpoint), idempotency_key=idempotency_key,
        priority=priority, attempts=attempts, keep_s=keep, timeout=timeout,
    )  # fmt: skip
    if wait is not None:
        made = client.job(made.id, wait=span(wait))
    if as_json:
        emit(made)
    else:
        click.echo(made.id)
        say(f"It is {made.state}. Its result: inferry jobs result {made.id}")


@command.command("list")
@click.option("--endpoint", default="", metavar="NAME", help="Only jobs of this endpoint.")
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@json_option
@pass_app
def list_(app: App, endpoint: str, state: str | None, limit: int, as_json: bool) -> None:
    """List your jobs, the newest first.

    \b
    Example:
      inferry jobs list --endpoint fraud --state dead
    """  # noqa: D301
    found = app.client().jobs(endpoint=endpoint, state=state or "", limit=limit)
    if as_json:
        emit({"jobs": found})
        return
    rows = [
        (job.id, job.endpoint, job.state, job.priority, job.failures, when(job.created), took(job)) for job in found
    ]
    show_table(("id", "endpoint", "state", "priority", "failures", "created", "took"), rows)


@command.command("show")
@click.argument("id")
@click.option("--wait", metavar="SPAN", help=WAIT)
@json_option
@pass_app
def show(app: App, id: str, wait: str | None, as_json: bool) -> None:
    """Show one job: its state, what it waits for, why it failed.

    \b
    Example:
      inferry jobs show 01a2178ac919a1451a8b3cc070736984 --wait 30s
    """  # noqa: D301
    found = app.client().job(id, wait=0 if wait is None else span(wait))
    if as_json:
        emit(found)
    else:
        tell(found)


@command.command("result")
@click.argument("id")
@click.option("--wait", metavar="SPAN", help=WAIT)
@json_option
@pass_app
def result(app: App, id: str, wait: str | None, as_json: bool) -> None:
    """Print what a job's prediction answered, one line a row.

    \b
    Example:
      inferry jobs result 01a2178ac919a1451a8b3cc070736984 --wait 5m
    """  # noqa: D301
    answer: Answer = app.client().job_result(id, wait=0 if wait is None else span(wait))
    if as_json:
        emit(answer)
    elif isinstance(answer.predictions, bytes):
        sys.stdout.buffer.write(answer.predictions)
    else:
        for row in answer.predictions if isinstance(answer.predictions, list) else [answer.predictions]:
            emit(row)


@command.command("cancel")
@click.argument("id")
@json_option
@pass_app
def cancel(app: App, id: str, as_json: bool) -> None:
    """Give a job up, also while it is under way.

    \b
    Example:
      inferry jobs cancel 01a2178ac919a1451a8b3cc070736984
    """  # noqa: D301
    ended = app.client().cancel_job(id)
    emit(ended) if as_json else say(f"The job {id} is cancelled.")


@command.command("retry")
@click.argument("id")
@json_option
@pass_app
def retry(app: App, id: str, as_json: bool) -> None:
    """Let a job that failed or was cancelled begin anew.

    \b
    Example:
      inferry jobs retry 01a2178ac919a1451a8b3cc070736984
    """  # noqa: D301
    begun = app.client().retry_job(id)
    emit(begun) if as_json else say(f"The job {id} waits again.")


def took(job: JobInfo) -> str:
    """From its acceptance to its end, or until now."""
    return f"{(job.ended or time.time()) - job.created:.1f} s"


def tell(job: JobInfo) -> None:
    """A job for people."""
    fields: list[tuple[str, object]] = [
        ("id", job.id), ("endpoint", job.endpoint), ("state", job.state), ("position", job.position),
        ("priority", job.priority), ("begun", job.begun), ("failures", f"{job.failures} of {job.attempts}"),
        ("created", when(job.created)), ("ended", when(job.ended)), ("kept until", when(job.expires)),
        ("reason", f"{job.reason.code}: {job.reason.message}" if job.reason else ""),
    ]  # fmt: skip
    show_fields(fields)
