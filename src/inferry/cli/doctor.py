"""`inferry doctor`: is everything well, and what to do where it is not."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, pass_app

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


@click.command("doctor")
@json_option
@click.pass_context
@pass_app
def command(app: App, ctx: click.Context, as_json: bool) -> None:
    """Check that all is well, and say what to do.

    Looks at storage, environments, sandbox and endpoints. Exits 1 when a check fails.

    \b
    Example:
      inferry doctor
    """  # noqa: D301
    found = app.client().doctor()
    if as_json:
        emit(found)
    else:
        for check in found.checks:
            mark, colour = _MARKS.get(check.level, ("?", "white"))
            click.echo(f"{click.style(mark, fg=colour)} {check.name}: {check.detail}".rstrip(" :"))
            if check.help and not check.ok:
                click.echo(f"  help: {check.help}")
    ctx.exit(0 if found.ok else 1)
