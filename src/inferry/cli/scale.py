"""`inferry scale`: run an endpoint with another number of replicas."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, pass_app


@click.command("scale")
@click.argument("name")
@click.argument("replicas", type=click.IntRange(1))
@json_option
@pass_app
def command(app: App, name: str, replicas: int, as_json: bool) -> None:
    """Change how many replicas an endpoint runs.

    Returns when the endpoint NAME serves with REPLICAS copies.

    \b
    Example:
      inferry scale fraud 4
    """  # noqa: D301
    done = app.client().scale(name, replicas)
    if as_json:
        emit(done)
    else:
        click.echo(f"{name} runs with {replicas} replicas (revision {done.revision})")
