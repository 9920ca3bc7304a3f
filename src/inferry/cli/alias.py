"""`inferry alias`: movable pointers to versions, such as `fraud@champion`."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, pass_app, say, show_table, when


@click.group("alias")
def command() -> None:
    """Name versions, such as the champion.

    Wherever a version is asked for, fraud@champion stands for the one that the alias points at.
    fraud@latest is always the newest.

    \b
    Example:
      inferry alias set fraud champion 7
    """  # noqa: D301


@command.command("set")
@click.argument("model")
@click.argument("alias")
@click.argument("version", metavar="N|ALIAS")
@click.option("--expect", type=click.IntRange(0), metavar="N", help="Only if it points at N now (0: at nothing).")
@json_option
@pass_app
def set_(app: App, model: str, alias: str, version: str, expect: int | None, as_json: bool) -> None:
    """Point MODEL@ALIAS at a version.

    \b
    Examples:
      inferry alias set fraud champion 7
      inferry alias set fraud champion challenger
      inferry alias set fraud champion 7 --expect 6
    """  # noqa: D301
    number = int(version) if version.isascii() and version.isdecimal() else version
    moved = app.client().move_alias(model, alias, number, expected=expect)
    if as_json:
        emit(moved)
    else:
        before = f", was {model}:{moved.before}" if moved.before else ""
        click.echo(f"{model}@{alias} is {model}:{moved.after}{before}")


@command.command("list")
@click.argument("model")
@click.option("--history", is_flag=True, help="Show all moves.")
@json_option
@pass_app
def list_(app: App, model: str, history: bool, as_json: bool) -> None:
    """List the aliases of MODEL.

    \b
    Examples:
      inferry alias list fraud
      inferry alias list fraud --history
    """  # noqa: D301
    found = app.client().aliases(model)
    if as_json:
        emit(found)
    elif history:
        show_table(
            ("alias", "from", "to", "when", "by"),
            [(m.alias, m.before or "-", m.after or "-", when(m.at), m.by) for m in found.moves],
        )
    elif found.aliases:
        show_table(
            ("alias", "version", "since", "by"),
            [(f"{model}@{a.name}", f"{model}:{a.version}", when(a.moved), a.moved_by) for a in found.aliases],
        )
    else:
        say(f"{model} has no aliases. Make one: inferry alias set {model} champion N")


@command.command("delete")
@click.argument("model")
@click.argument("alias")
@json_option
@pass_app
def delete(app: App, model: str, alias: str, as_json: bool) -> None:
    """Forget MODEL@ALIAS; its history and the version stay.

    \b
    Example:
      inferry alias delete fraud challenger
    """  # noqa: D301
    app.client().delete_alias(model, alias)
    if as_json:
        emit({"deleted": f"{model}@{alias}", "kind": "alias"})
    else:
        click.echo(f"{model}@{alias} is removed.")
