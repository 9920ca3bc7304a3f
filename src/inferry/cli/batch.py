"""`inferry batch`: a file or a folder through an endpoint, into another, on capacity to spare.

Data flow: paths -> `Client.batch`, which tells how far it is -> a bar on standard error -> what it came to.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from inferry.cli.shared import App, emit, json_option, pass_app
from inferry.objects import is_object_url

Tell = Callable[[int, int, int], None]


@click.command("batch")
@click.argument("name")
@click.argument("source", metavar="INPUT")
@click.argument("target", metavar="OUTPUT")
@click.option("--overwrite", is_flag=True, help="Begin anew, whatever is there.")
@click.option("--fail-fast", is_flag=True, help="End at the first row that cannot be scored.")
@json_option
@pass_app
def command(app: App, name: str, source: str, target: str, overwrite: bool, fail_fast: bool, as_json: bool) -> None:
    """Score all rows of INPUT by the endpoint NAME into OUTPUT.

    INPUT is a CSV, JSON lines or Parquet file, or a folder of them; OUTPUT is the same, its kind told by its suffix.
    Both may be in object storage: s3://BUCKET/KEY, or with a slash at its end a folder.
    When it is stopped, the same command goes on where it was.

    \b
    Examples:
      inferry batch fraud customers.parquet scores.parquet
      inferry batch fraud customers.csv scores.jsonl --json
      inferry batch fraud inbox/ outbox/
      inferry batch fraud s3://data/customers.parquet s3://data/scored/
    """  # noqa: D301
    if not is_object_url(source) and not os.path.exists(source):  # noqa: PTH110 - any text
        raise click.BadParameter(f"Path '{source}' does not exist.", param_hint="'INPUT'")
    with progress() as tell:
        done = app.client().batch(name, source, target, overwrite=overwrite, fail_fast=fail_fast, tell=tell)
    if as_json:
        emit(done)
        return
    failed = f", {done.errors} of them without a prediction" if done.errors else ""
    before = f" ({done.resumed} were done before)" if done.resumed else ""
    click.echo(f"{done.rows} rows{failed}{before}: {done.output}")


@contextmanager
def progress() -> Iterator[Tell | None]:
    """A bar, where somebody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    shown = TextColumn("{task.completed:,.0f} rows{task.fields[failed]}")
    with Progress(BarColumn(), shown, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, failed="")

        def tell(rows: int, errors: int, total: int) -> None:
            failed = f", {errors:,} failed" if errors else ""
            bar.update(task, completed=rows, total=max(rows, total), failed=failed)

        yield tell
