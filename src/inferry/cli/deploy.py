"""`inferry deploy`: a model file or folder, or a version that is there, becomes a serving endpoint.

Data flow: path -> upload -> the server's steps, shown as they happen on standard error ->
what was made, on standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import click

from inferry.cli.lineage import lineage_options
from inferry.cli.shared import App, emit, json_option, parse_idle, parse_span, pass_app, say, show_table
from inferry.cli.words import signature_lines

if TYPE_CHECKING:
    from inferry.client.answers import Deployed, Progress
    from inferry.types.lineage import Lineage
    from inferry.types.rollout import Strategy


@click.command("deploy")
@click.argument("path", metavar="PATH|MODEL:N|MODEL@ALIAS")
@click.option("--name", "--endpoint", help="The endpoint's name.  [default: the file's, or the model's]")
@click.option(
    "--sample", metavar="FILE", type=click.Path(path_type=Path), help="Example input: CSV, JSON, a picture..."
)
@click.option("--replicas", type=click.IntRange(1), metavar="N", help="Running copies.  [default: as now, or 1]")
@click.option("--min-replicas", type=click.IntRange(0), metavar="N", help="They vary: so many at least, 0 when idle.")
@click.option("--max-replicas", type=click.IntRange(1), metavar="N", help="And so many at most.")
@click.option("--target-concurrency", type=click.FloatRange(0.1), metavar="X", help="Requests at one, on average.")
@click.option("--target-latency", callback=parse_span, metavar="TIME", help="95 % of answers within it, as 50ms.")
@click.option("--idle-timeout", callback=parse_idle, metavar="TIME|auto", help="None runs after such a time, as 60s.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="A request's deadline.")
@click.option("--memory", type=click.IntRange(1), metavar="MB", help="Memory limit of a replica.")
@click.option("--threads", type=click.IntRange(1, 256), metavar="N", help="Processor threads of one prediction.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "tpu"]), help="Where it computes.  [default: auto]")
@click.option("--gpus", type=click.FloatRange(0, 64), metavar="SHARE", help="GPUs that each copy holds, such as 0.25.")
@click.option("--gpu-memory", type=click.IntRange(1), metavar="MB", help="Memory limit on the GPU.")
@click.option("--cpus", type=click.FloatRange(0), metavar="N", help="Processors a copy may use, such as 0.5.")
@click.option("--resource", "resources", multiple=True, metavar="NAME=N", help="On Ray: of a custom resource.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the engine; @FILE: a file's text.")
@click.option("--native", is_flag=True, help="Do not convert it to ONNX.")
@click.option("--convert", type=click.Choice(["auto", "require"]), help="require: fail unless it serves as ONNX.")
@click.option(
    "--traffic", type=click.IntRange(0, 100), metavar="PERCENT", help="Its share of requests.  [default: 100]"
)
@click.option("--keep-warm", is_flag=True, help="Keep the revision before running, to return to it at once.")
@click.option("--rollout", is_flag=True, help="Give it traffic step by step, watched by an analysis.")
@click.option("--strategy", type=click.Path(path_type=Path), metavar="FILE", help="The steps and checks of --rollout.")
@click.option("--allow-breaking", is_flag=True, help="Even if it breaks who calls the endpoint.")
@lineage_options
@json_option
@pass_app
def command(
    app: App,
    path: str,
    name: str | None,
    sample: Path | None,
    replicas: int | None,
    min_replicas: int | None,
    max_replicas: int | None,
    target_concurrency: float | None,
    target_latency: float | None,
    idle_timeout: float | None,
    timeout: float | None,
    memory: int | None,
    threads: int | None,
    device: str | None,
    gpus: float | None,
    gpu_memory: int | None,
    cpus: float | None,
    resources: tuple[str, ...],
    options: tuple[str, ...],
    native: bool,
    convert: str | None,
    traffic: int | None,
    keep_warm: bool,
    rollout: bool,
    strategy: Path | None,
    allow_breaking: bool,
    lineage: Lineage | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Serve the model in PATH, a file or a folder, or a version. No code and no configuration needed.

    The framework is recognised, the inputs and outputs are found, and traffic moves only
    when the new revision truly answers. Deploying again makes the next version.

    \b
    Examples:
      inferry deploy model.joblib --name fraud --sample rows.csv
      inferry deploy model.onnx
      inferry deploy ./my-model --replicas 2 --timeout 5
      inferry deploy model.onnx --min-replicas 0 --max-replicas 4 --idle-timeout 60s
      inferry deploy better.joblib --name fraud --traffic 10
      inferry deploy better.joblib --name fraud --rollout
      inferry deploy model.gguf --option context=4096 --option slots=2
      inferry deploy fraud:7
      inferry deploy fraud@champion --endpoint fraud-eu
    """  # noqa: D301
    if traffic is not None and (rollout or strategy):
        raise click.UsageError("--traffic and --rollout exclude each other.")
    with Steps() as steps:
        made = app.client().deploy(
            path, name, sample, replicas=replicas, min_replicas=min_replicas, max_replicas=max_replicas,
            target_concurrency=target_concurrency, target_latency_s=target_latency, idle_timeout_s=idle_timeout,
            timeout_s=timeout, memory_mb=memory, threads=threads,
            device=device, gpus=gpus, gpu_memory_mb=gpu_memory, cpus=cpus, resources=resources_of(resources),
            options=options_of(options), convert=conversion_choice(native, convert),
            traffic=traffic, keep_warm=keep_warm, rollout=strategy_of(rollout, strategy), lineage=lineage, data=data,
            allow_breaking=allow_breaking, on_event=steps,
        )  # fmt: skip
    if as_json:
        emit(made)
    else:
        show(made)


def options_of(given: tuple[str, ...]) -> dict[str, str] | None:
    """What --option says, by name. Raises UsageError."""
    made = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.UsageError(f"--option {text}: write NAME=VALUE.")
        if value.startswith("@"):
            try:
                value = Path(value[1:]).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise click.UsageError(f"--option {name}: {value[1:]} cannot be read as text.") from error
        made[name] = value
    return made or None


def resources_of(given: tuple[str, ...]) -> dict[str, float] | None:
    """What --resource says, by name. Raises UsageError."""
    made = {}
    for text in given:
        name, _, amount = text.partition("=")
        try:
            made[name] = float(amount)
        except ValueError as error:
            raise click.UsageError(f"--resource {text}: write NAME=AMOUNT.") from error
    return made or None


def conversion_choice(native: bool, convert: str | None) -> str | None:
    """What --native and --convert ask for. Raises UsageError."""
    if native and convert:
        raise click.UsageError("--native and --convert exclude each other.")
    return "never" if native else convert


def strategy_of(rollout: bool, path: Path | None) -> Strategy | Literal["default"] | None:
    """What --rollout and --strategy ask for."""
    if path is None:
        return "default" if rollout else None
    from inferry.cli.rollout import read_strategy

    return read_strategy(path)


def show(made: Deployed) -> None:
    """What a person wants to know and copy."""
    if made.unchanged:
        click.echo(f"{made.model}:{made.version} serves already; nothing was changed.")
    if made.rollout:
        click.echo(f"{made.model}:{made.version} runs as revision {made.revision}; a rollout gives it its traffic:")
        click.echo(f"inferry rollout watch {made.endpoint}\n")
    else:
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
