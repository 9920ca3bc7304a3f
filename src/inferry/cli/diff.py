"""`inferry diff`: in what two versions differ, and whether the new one breaks the old one's callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from inferry.cli.shared import App, emit, json_option, pass_app, show_table, size_text

if TYPE_CHECKING:
    from inferry.types.diff import Difference, VersionDiff


@click.command("diff")
@click.argument("before", metavar="MODEL:N")
@click.argument("after", metavar="MODEL:M")
@json_option
@pass_app
def command(app: App, before: str, after: str, as_json: bool) -> None:
    """Compare two versions, and say what breaks callers.

    \b
    Examples:
      inferry diff fraud:3 fraud:4
      inferry diff fraud@champion fraud@latest --json
    """  # noqa: D301
    found = app.client().diff(before, after)
    emit(found) if as_json else show(found)


def show(found: VersionDiff) -> None:
    """The differences for people."""
    if found.same:
        click.echo(f"{found.before} and {found.after} pin the same bundle.")
    if found.signature:
        from inferry.policy.compatibility import sentence

        for change in found.signature:
            click.echo(f"{'BREAKING' if change.breaking else 'compatible':<10}  {sentence(change)}")
        click.echo()
    else:
        click.echo("The signature is the same.\n")
    if found.differences:
        show_table(
            ("what", "name", found.before, found.after),
            [(d.section, d.name, text_of(d, d.before), text_of(d, d.after)) for d in found.differences],
        )


def text_of(difference: Difference, value: Any) -> str:
    """A value in a cell."""
    if value is None:
        return "-"
    if difference.name == "size":
        return size_text(value)
    if difference.section == "files" or difference.name in {"environment", "commit", "data"}:
        return str(value)[:12]
    return f"{value:g}" if isinstance(value, float) else str(value)
