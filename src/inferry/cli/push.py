"""`inferry push`: a model file or folder becomes a version that nothing serves yet."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inferry.cli.deploy import Steps, conversion_choice
from inferry.cli.here import FILE, project_here, source_of
from inferry.cli.lineage import lineage_options
from inferry.cli.pipeline import follow, say_step
from inferry.cli.shared import App, emit, json_option, pass_app, say
from inferry.cli.test import declared, try_out, write
from inferry.cli.test import show as show_report
from inferry.cli.words import signature_lines

if TYPE_CHECKING:
    from inferry.client import Client
    from inferry.client.answers import Pushed
    from inferry.types.lineage import Lineage

BEGIN_S = 15.0
SOON_S = 5.0
"""How long a platform may take to begin a new version's run."""


@click.command("push")
@click.argument("path", metavar="PATH|MODEL", type=click.Path(path_type=Path))
@click.option("--name", help="The model's name.  [default: the file's]")
@click.option(
    "--sample", metavar="FILE", type=click.Path(path_type=Path), help="Example input: CSV, JSON, a picture..."
)
@click.option("--native", is_flag=True, help="Do not convert it to ONNX.")
@click.option("--convert", type=click.Choice(["auto", "require"]), help="require: fail unless it serves as ONNX.")
@click.option("--alias", metavar="ALIAS", help="Then point this alias at it.")
@click.option("--wait", is_flag=True, help="Follow its pipeline's run: exit code 0 when it is in production.")
@click.option("--no-test", is_flag=True, help="Leave the gates of its pipeline to others.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write the gates' report as JUnit XML.")
@click.option("--markdown", metavar="FILE", type=click.Path(path_type=Path), help="Write it as Markdown.")
@lineage_options
@json_option
@pass_app
def command(
    app: App,
    path: Path,
    name: str | None,
    sample: Path | None,
    native: bool,
    convert: str | None,
    alias: str | None,
    wait: bool,
    no_test: bool,
    junit: Path | None,
    markdown: Path | None,
    lineage: Lineage | None,
    data: Path | None,
    as_json: bool,
) -> int:
    """Make a version of a model, without serving it.

    The model is the one in PATH, or the MODEL that inferry.yaml declares. It is recognised, tried and packed as by
    deploy. Where inferry.yaml has a pipeline for it, its gates run here, and the pipeline takes over; else serve it
    with inferry deploy MODEL:N. The exit code is 1 when a gate failed.

    \b
    Examples:
      inferry push model.joblib --name fraud --sample rows.csv
      inferry push model.joblib --name fraud --alias challenger --metric auc=0.93
      inferry push fraud --wait
    """  # noqa: D301
    client, project = app.client(), project_here()
    chosen = conversion_choice(native, convert)
    source = source_of(path, project)
    if source is not None:
        name, path, sample, chosen = name or str(path), source.path, sample or source.sample, chosen or source.convert
        lineage = labelled(lineage, source.labels)
    if alias is not None:
        from inferry.types.names import check_alias

        check_alias(alias)
    with Steps() as steps:
        made = client.push(path, name, sample, convert=chosen, lineage=lineage, data=data, on_event=steps)
    if alias is not None:
        client.move_alias(made.model, alias, made.version)
    laddered = project is not None and made.model in project.pipelines
    if not as_json:
        show(made, alias, serve=not laddered and not wait)
    report = None
    if project is not None and laddered and project.pipelines[made.model].gates and not no_test:
        report = try_out(app, declared(None), FILE, f"{made.model}:{made.version}", keep=True)
        write(report, junit, markdown)
        if not as_json:
            show_report(report)
    if laddered and not wait and made.new_version:
        begin(client, made)
    ended = follow(client, made.model, run_of(client, made), None if as_json else say_step) if wait else None
    if as_json:
        emit(made if not laddered and not wait else {"pushed": made, "test": report, "run": ended})
    failed = (report is not None and not report.passed) or (ended is not None and ended.phase != "done")
    return 1 if failed else 0


def labelled(lineage: Lineage | None, labels: dict[str, str]) -> Lineage | None:
    """The lineage with the labels that a project declares; what the command says comes first."""
    if not labels:
        return lineage
    import msgspec

    from inferry.types.lineage import Lineage

    told = lineage or Lineage()
    return msgspec.structs.replace(told, labels={**labels, **told.labels})


def run_of(client: Client, made: Pushed, within_s: float = BEGIN_S) -> str:
    """The id of the version's run: the one that the push began, or a new one for a version that was there."""
    from inferry.errors import NotFound

    end = time.monotonic() + within_s
    while True:
        its = [run for run in client.runs(made.model) if run.version == made.version]
        if its and (made.new_version or not its[-1].ended):
            return its[-1].id
        if not made.new_version:
            return client.start_run(made.model, made.version).id
        if time.monotonic() > end:
            raise NotFound(
                f"No pipeline of {made.model!r} takes versions.", help="Declare one in inferry.yaml, and: inferry apply"
            )
        time.sleep(0.2)


def begin(client: Client, made: Pushed) -> None:
    """Return only when the version is on its ladder, so that what is asked next finds it there."""
    from inferry.errors import NotFound

    try:
        client.project()
        run_of(client, made, within_s=SOON_S)
    except NotFound:
        say(f"note: no pipeline takes versions of {made.model!r} yet: inferry apply")
    else:
        say(f"Follow it: inferry pipeline watch {made.model}")


def show(made: Pushed, alias: str | None, *, serve: bool) -> None:
    """What a person wants to know and copy."""
    again = "" if made.new_version else ": the same bytes, so no new version was made"
    click.echo(f"{made.model}:{made.version}{f' is {made.model}@{alias}' if alias else ''}{again}\n")
    for line in signature_lines(made.signature):
        click.echo(line)
    for note in made.notes:
        click.echo(f"note: {note}")
    if serve:
        click.echo(f"\nServe it:\n\ninferry deploy {made.model}:{made.version}")
