"""`inferry apply`: what is there becomes what an inferry.yaml declares.

Data flow: file -> Project (every mistake with its line) -> the platform's plan -> the changes, for people or as JSON
-> applied -> followed until it is carried out.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inferry.cli.shared import App, emit, json_option, pass_app, say

if TYPE_CHECKING:
    from inferry.bundles.declared import Declared
    from inferry.client.pipeline_answers import Applied, Planned
    from inferry.types.project import Project

DIFFERS = 3
"""Exit code of --dry-run when something differs."""
POLL_S = 0.2
MARKS = {"create": "+", "delete": "-", "pipeline": "~", "configure": "~", "release": "~", "traffic": "~"}


@click.command("apply")
@click.option(
    "--file", "-f", "path", type=click.Path(path_type=Path), default=Path("inferry.yaml"), show_default=True,
    help="The project's file.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only show what differs: exit code 0 nothing, 3 something, 1 an error.")
@click.option("--prune", is_flag=True, help="Delete endpoints that an earlier file declared and this one does not.")
@click.option("--wait/--no-wait", default=True, help="Return when it is carried out.  [default: wait]")
@json_option
@pass_app
def command(app: App, path: Path, dry_run: bool, prune: bool, wait: bool, as_json: bool) -> int:
    """Make endpoints and pipelines what inferry.yaml declares.

    Applying the same file again changes nothing. Endpoints that no file declared are left alone.

    \b
    Examples:
      inferry apply
      inferry apply --dry-run
      inferry apply -f prod/inferry.yaml --prune
    """  # noqa: D301
    from inferry.bundles.project import declared_project

    found = declared_project(path)
    client = app.client()
    planned = client.plan_project(found.value, prune=prune)
    check(found, planned)
    if dry_run:
        emit(planned) if as_json else show(planned)
        return DIFFERS if planned.changes else 0
    if not as_json:
        show(planned)
    made = client.apply_project(found.value, prune=prune)
    if wait:
        made = settled(client, made)
    if as_json:
        emit(made)
    else:
        for problem in made.problems:
            say(f"error: {problem}")
        if planned.changes and made.settled and not made.problems:
            click.echo("Done.")
    return 1 if made.problems else 0


def check(found: Declared[Project], planned: Planned) -> None:
    """Raise InvalidSettings, with the lines of the file, for what the platform says is wrong."""
    from inferry.types.declared import Problem

    found.check(Problem(problem.path, problem.words, problem.help) for problem in planned.problems)


def settled(client: Any, made: Applied) -> Applied:
    """Wait until a project is carried out, or another was applied."""
    while True:
        found: Applied = client.project()
        if found.settled or found.turn != made.turn:
            return found
        time.sleep(POLL_S)


def show(planned: Planned) -> None:
    """The changes for people."""
    if not planned.changes:
        click.echo("Everything is as declared.")
    for change in planned.changes:
        what = "pipeline of" if change.kind == "pipeline" else "endpoint"
        click.echo(f"{MARKS[change.kind]} {what} {change.name}")
        for line in change.lines:
            click.echo(f"    {line}")
