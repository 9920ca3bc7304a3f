"""`inferry versions`: the immutable, numbered members of a model."""

from __future__ import annotations

import click

from inferry.cli.shared import App, emit, json_option, pass_app, show_table, size_text, when


@click.command("versions")
@click.argument("model")
@json_option
@pass_app
def command(app: App, model: str, as_json: bool) -> None:
    """List the versions of MODEL, oldest first.

    \b
    Example:
      inferry versions fraud
    """  # noqa: D301
    found = app.client().versions(model)
    if as_json:
        emit({"versions": found})
        return
    show_table(
        ("version", "runtime", "size", "bundle", "created", "by", "serving"),
        [
            (f"{v.model}:{v.number}", v.runtime, size_text(v.size), v.bundle[:12], when(v.created), v.created_by,
             ", ".join(v.serving) or "-")
            for v in found
        ],
    )  # fmt: skip
