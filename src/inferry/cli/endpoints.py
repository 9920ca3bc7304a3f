"""`inferry endpoints`: the stable addresses that clients call."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, pass_app, say, show_table


@click.command("endpoints")
@json_option
@pass_app
def command(app: App, as_json: bool) -> None:
    """List all endpoints and how they are.

    \b
    Example:
      inferry endpoints
    """  # noqa: D301
    found = app.client().endpoints()
    if as_json:
        emit({"endpoints": found})
    elif found:
        show_table(
            ("endpoint", "serves", "revision", "replicas", "state", "url"),
            [
                (
                    e.name,
                    f"{e.model}:{e.version}",
                    e.revision,
                    f"{e.replicas.ready}/{e.replicas.wanted}",
                    e.state,
                    e.url,
                )
                for e in found
            ],
        )
    else:
        say("There are no endpoints yet. Deploy a model: inferry deploy PATH")
