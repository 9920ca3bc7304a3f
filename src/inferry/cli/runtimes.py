"""`inferry runtimes`: what can be served here, what is missing, and what it computes on."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, pass_app, show_table


@click.command("runtimes")
@json_option
@pass_app
def command(app: App, as_json: bool) -> None:
    """List what can be served here, and on what.

    Packages of a model's own environment are fetched at its first deploy, at the versions that
    the model names.

    \b
    Example:
      inferry runtimes
    """  # noqa: D301
    found = app.client().runtimes()
    if as_json:
        emit(found)
        return
    show_table(
        ("runtime", "takes", "runs in", "state"),
        [
            (one.name, one.takes, _where(one.packages), "ready" if one.ready else f"missing: {one.help}")
            for one in found.runtimes
        ],
    )
    click.echo(f"\nDevices: {found.devices_words}")


def _where(packages: tuple[str, ...]) -> str:
    return f"its own environment ({', '.join(packages)})" if packages else "the platform's environment"
