"""`inferry delete`: remove an endpoint, a version, or a model with all its versions."""

from __future__ import annotations

import sys

import click

from inferry.cli.shared import App, emit, json_option, pass_app


@click.command("delete")
@click.argument("name", metavar="NAME|MODEL:N|MODEL@ALIAS")
@click.option("--model", "whole_model", is_flag=True, help="NAME is a model: remove it with all its versions.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_app
def command(app: App, name: str, whole_model: bool, yes: bool, as_json: bool) -> None:
    """Remove an endpoint, a version or a model.

    NAME is an endpoint (its model and versions stay), MODEL:N a version. A version that an
    endpoint uses, an alias names or somebody protects is not removed. On a terminal you are asked first.

    \b
    Examples:
      inferry delete fraud
      inferry delete fraud:3
      inferry delete fraud --model
    """  # noqa: D301
    from inferry.types.names import parse_reference

    model, number = parse_reference(name)
    if whole_model and number is not None:
        raise click.UsageError("--model takes a model's name, without a version.")
    kind = "model" if whole_model else "endpoint" if number is None else "version"
    if not yes and not as_json and sys.stdin.isatty():
        click.confirm(f"Remove the {kind} {name}?", abort=True, err=True)
    client = app.client()
    if whole_model:
        client.delete_model(model)
    elif number is None:
        client.delete(model)
    else:
        client.delete_version(model, number)
    if as_json:
        emit({"deleted": name, "kind": kind})
    else:
        click.echo(f"The {kind} {name} is removed.")
