"""`inferry logs`: what an endpoint's replicas wrote."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, pass_app


@click.command("logs")
@click.argument("name")
@click.option("-n", "--lines", default=200, show_default=True, type=click.IntRange(1), help="How many, from the end.")
@json_option
@pass_app
def command(app: App, name: str, lines: int, as_json: bool) -> None:
    """Show what an endpoint's replicas wrote.

    \b
    Example:
      inferry logs fraud -n 50
    """  # noqa: D301
    found = app.client().logs(name, lines)
    if as_json:
        emit({"lines": found})
        return
    for line in found:
        click.echo(line)
