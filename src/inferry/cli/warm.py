"""`inferry warm`: start a replica of an endpoint that has none, ahead of requests."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, pass_app


@click.command("warm")
@click.argument("name")
@json_option
@pass_app
def command(app: App, name: str, as_json: bool) -> None:
    """Have a replica ready before somebody asks.

    Returns when one of the endpoint NAME is. It stays as long as if it had been asked for.

    \b
    Example:
      inferry warm fraud
    """  # noqa: D301
    done = app.client().warm(name)
    if as_json:
        emit(done)
    else:
        click.echo(f"{name} has {done.ready} replica{'s' * (done.ready != 1)} ready ({done.ms:g} ms)")
