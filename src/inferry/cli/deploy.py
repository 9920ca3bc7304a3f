"""`inferry deploy`: a model file or folder becomes a serving endpoint.

Data flow: path -> upload -> the server's steps, shown as they happen on standard error ->
what was made, on standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from inferry.cli.shared import App, emit, json_option, pass_app, say, show_table
from inferry.cli.words import signature_lines

if TYPE_CHECKING:
    from inferry.client.answers import Deployed, Progress


@click.command("deploy")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="The endpoint's name.  [default: the file's]")
@click.option("--sample", metavar="FILE", type=click.Path(path_type=Path), help="Example input, CSV or JSON.")
@click.option("--replicas", type=click.IntRange(1), metavar="N", help="Running copies.  [default: as now, or 1]")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="A request's deadline.")
@click.option("--memory", type=click.IntRange(1), metavar="MB", help="Memory limit of a replica.")
@click.option("--threads", type=click.IntRange(1, 256), metavar="N", help="Processor threads of one prediction.")
@json_option
@pass_app
def command(
    app: App,
    path: Path,
    name: str | None,
    sample: Path | None,
    replicas: int | None,
    timeout: float | None,
    memory: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Serve the model in PATH, a file or a folder. No code and no configuration needed.

    The framework is recognised, the inputs and outputs are found, and traffic moves only
    when the new revision truly answers. Deploying again makes the next version.

    \b
    Examples:
      inferry deploy model.joblib --name fraud --sample rows.csv
      inferry deploy model.onnx
      inferry deploy ./my-model --replicas 2 --timeout 5
    """  # noqa: D301
    with Steps() as steps:
        made = app.client().deploy(
            path, name, sample, replicas=replicas, timeout_s=timeout, memory_mb=memory, threads=threads, on_event=steps
        )
    if as_json:
        emit(made)
    else:
        show(made)


def show(made: Deployed) -> None:
    """What a person wants to know and copy."""
    if made.unchanged:
        click.echo(f"{made.model}:{made.version} already serves these bytes; nothing was changed.")
    elif not made.new_version:
        click.echo(f"The same bytes as {made.model}:{made.version}: no new version was made.")
    click.echo(f"{made.model}:{made.version} serves at {made.url} (revision {made.revision})\n")
    for line in signature_lines(made.signature):
        click.echo(line)
    for note in made.notes:
        click.echo(f"note: {note}")
    for title, text in (("Try it:", made.curl), ("In Python:", made.python)):
        if text:
            click.echo(f"\n{title}\n\n{text.rstrip()}")
    if made.timings:
        click.echo()
        show_table(("step", "ms"), [(step, round(ms)) for step, ms in made.timings.items()])


class Steps:
    """Shows a deploy's steps: live with a spinner on a terminal, else a line a finished step."""

    def __enter__(self) -> Self:
        self._status = None
        self._messages: dict[str, str] = {}  # by step, the last that was said of it
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True, highlight=False).status("sending")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, event: Progress) -> None:
        """One step began, went on, or ended."""
        self._messages[event.step] = event.message or self._messages.get(event.step, "")
        text = f"{event.step:<12} {self._messages[event.step]}".rstrip()
        if event.state == "done":
            took = "" if event.ms is None else f"{event.ms:7.0f} ms  "
            if self._status is None:
                say(f"{took}{text}")
            else:
                from rich.text import Text

                self._status.console.print(Text.assemble(("✓ ", "green"), (took, "dim"), text))
        elif self._status is not None:
            from rich.text import Text

            self._status.update(Text(text))
