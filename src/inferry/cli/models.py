"""`inferry models`: the named families of versions."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, pass_app, say, show_table, when


@click.command("models")
@json_option
@pass_app
def command(app: App, as_json: bool) -> None:
    """List all models.

    \b
    Example:
      inferry models
    """  # noqa: D301
    found = app.client().models()
    if as_json:
        emit({"models": found})
    elif found:
        show_table(
            ("model", "versions", "latest", "created"), [(m.name, m.versions, m.latest, when(m.created)) for m in found]
        )
    else:
        say("There are no models yet. Deploy one: inferry deploy PATH")
