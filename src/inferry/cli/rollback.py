"""`inferry rollback`: return to the revision before, or to one that is named."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, pass_app


@click.command("rollback")
@click.argument("name")
@click.option("--revision", type=click.IntRange(1), metavar="N", help="Where to go.  [default: the one before]")
@json_option
@pass_app
def command(app: App, name: str, revision: int | None, as_json: bool) -> None:
    """Return to the revision that served before.

    NAME is the endpoint. No request fails while traffic moves.

    \b
    Examples:
      inferry rollback fraud
      inferry rollback fraud --revision 3
    """  # noqa: D301
    done = app.client().rollback(name, revision)
    if as_json:
        emit(done)
    else:
        click.echo(
            f"{name} serves version {done.version} again (revision {done.revision}, was {done.previous_revision})"
        )
