"""`inferry status`: how the platform is, in a few lines."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from inferry.cli.shared import App, emit, json_option, pass_app, show_table, size_text

if TYPE_CHECKING:
    from inferry.types.density import MemoryStatus


@click.command("status")
@json_option
@pass_app
def command(app: App, as_json: bool) -> None:
    """Say how the platform is, and which control process leads.

    Checks nothing that takes long: that is `inferry doctor`.

    Of the loaded models the least worth leaves first when another one needs its memory: it saves the fewest seconds
    of loading for what it holds.

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
    if found.states:
        click.echo(f"           {', '.join(f'{count} {state}' for state, count in sorted(found.states.items()))}")
    if found.memory is not None:
        show_memory(found.memory)


def show_memory(memory: MemoryStatus) -> None:
    """What models hold, and who waits."""
    shared = f", {size(memory.shared_mb)} of it shared" if memory.shared_mb else ""
    starting = f"; {size(memory.promised_mb)} of it for starts" if memory.promised_mb else ""
    click.echo(
        f"memory     {size(memory.counted_mb)} of {size(memory.budget_mb)} for models are taken{shared}{starting}"
    )
    click.echo(
        f"           {size(memory.measured_mb)} measured; {memory.loads} loaded, {memory.left} left to make room"
    )
    if memory.loaded:
        click.echo()
        show_table(
            ("endpoint", "memory", "uses", "a start takes", "worth", "stays"),
            [
                (one.endpoint, size(one.memory_mb), f"{one.uses:.3g}", f"{one.cost_s:.3g} s", f"{one.worth:.3g}",
                 one.stays or "until others need it")
                for one in memory.loaded
            ],
        )  # fmt: skip
    if memory.waiting:
        click.echo()
        show_table(
            ("waits for memory", "needs", "for", "why"),
            [(one.endpoint, size(one.memory_mb), f"{one.waited_s:.1f} s", one.why) for one in memory.waiting],
        )


def size(megabytes: float) -> str:
    """Megabytes for people."""
    return size_text(megabytes * 1e6)
