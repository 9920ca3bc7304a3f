"""`inferry keys`: make, list and revoke the keys that open the platform."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, parse_duration, pass_app, say, show_table, when


@click.group("keys")
def command() -> None:
    """Make, list and revoke API keys."""


@command.command("create")
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["invoker", "viewer", "admin"]), default="invoker", show_default=True,
    help="invoker predicts, viewer reads, admin does everything.",
)  # fmt: skip
@click.option("--endpoint", "endpoints", multiple=True, metavar="NAME", help="Only this endpoint; may be repeated.")
@click.option("--expires", callback=parse_duration, metavar="TIME", help="30d, 12h, 15m...  [default: never]")
@json_option
@pass_app
def create(app: App, name: str, role: str, endpoints: tuple[str, ...], expires: int | None, as_json: bool) -> None:
    """Make a key called NAME. It is shown once, now.

    \b
    Examples:
      inferry keys create web-shop --endpoint fraud --expires 90d
      inferry keys create ci --role admin --json
    """  # noqa: D301
    made = app.client().create_key(name, role=role, endpoints=endpoints or ("*",), expires_s=expires or 0)
    if as_json:
        emit(made)
    else:
        click.echo(made.key)
        say(f"The key {name} ({role}) is shown this once: keep it safe.")


@command.command("list")
@json_option
@pass_app
def list_(app: App, as_json: bool) -> None:
    """List all keys, without their secrets."""
    found = app.client().keys()
    if as_json:
        emit({"keys": found})
        return
    show_table(
        ("name", "id", "role", "endpoints", "created", "expires"),
        [(k.name, k.id, k.role, ", ".join(k.endpoints), when(k.created), when(k.expires)) for k in found],
    )


@command.command("revoke")
@click.argument("key", metavar="ID|NAME")
@json_option
@pass_app
def revoke(app: App, key: str, as_json: bool) -> None:
    """Make a key worthless at once."""
    app.client().revoke_key(key)
    if as_json:
        emit({"revoked": key})
    else:
        click.echo(f"The key {key} is revoked.")
