"""`inferry status`: how the platform is, in a few lines."""

from __future__ import annotations

from datetime import datetime

import click

from inferry.cli.shared import App, emit, json_option, pass_app


@click.command("status")
@json_option
@pass_app
def command(app: App, as_json: bool) -> None:
    """Say how the platform is, and which control process leads.

    Checks nothing that takes long: that is `inferry doctor`.

    \b
    Example:
      inferry status
    """  # noqa: D301
    found = app.client().status()
    if as_json:
        emit(found)
        return
    click.echo(f"Inferry {found.version} at {found.http}")
    click.echo(f"database   {found.database}{f' - {found.problem}' if found.problem else ''}")
    if found.leader is not None:
        since = datetime.fromtimestamp(found.leader.since).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"leader     {found.leader.name}, epoch {found.leader.epoch}, since {since}")
        waiting = ("?",) if found.leader.standbys is None else found.leader.standbys or ("none",)
        click.echo(f"standbys   {', '.join(waiting)}")
    click.echo(f"endpoints  {found.endpoints}; {found.ready} of {found.revisions} revisions have all their replicas")
