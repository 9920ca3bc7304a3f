"""`inferry describe`: everything about one endpoint, or about one version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inferry.cli.shared import App, emit, json_option, pass_app, show_fields, show_table, size_text, when
from inferry.cli.words import signature_lines

if TYPE_CHECKING:
    from inferry.client.answers import EndpointDetails, VersionDetails


@click.command("describe")
@click.argument("name", metavar="NAME|MODEL:N")
@json_option
@pass_app
def command(app: App, name: str, as_json: bool) -> None:
    """Show all about an endpoint or a version.

    \b
    Examples:
      inferry describe fraud
      inferry describe fraud:3
    """  # noqa: D301
    from inferry.types.names import parse_reference

    model, number = parse_reference(name)
    if number is None:
        endpoint = app.client().describe(model)
        emit(endpoint) if as_json else show_endpoint(endpoint)
    else:
        version = app.client().version(model, number)
        emit(version) if as_json else show_version(version)


def show_endpoint(found: EndpointDetails) -> None:
    """An endpoint for people."""
    traffic = ", ".join(f"{percent}% revision {number}" for number, percent in found.traffic.items())
    show_fields([
        ("endpoint", found.name),
        ("serves", f"{found.model}:{found.version} (revision {found.revision})"),
        ("runtime", found.runtime),
        ("state", f"{found.state}, {found.replicas.ready} of {found.replicas.wanted} replicas ready"),
        ("problem", found.problem),
        ("traffic", traffic),
        ("url", found.url),
    ])  # fmt: skip
    click.echo()
    for line in signature_lines(found.signature):
        click.echo(line)
    if found.revisions:
        click.echo()
        show_table(
            ("revision", "version", "replicas", "timeout", "created", "by"),
            [
                (r.number, r.version, r.config.replicas, f"{r.config.timeout_s:g} s", when(r.created), r.created_by)
                for r in found.revisions
            ],
        )
    for title, text in (("Try it:", found.curl), ("In Python:", found.python)):
        if text:
            click.echo(f"\n{title}\n\n{text.rstrip()}")


def show_version(found: VersionDetails) -> None:
    """A version for people."""
    environment = found.manifest.get("environment", {}).get("digest", "platform")
    show_fields([
        ("version", f"{found.model}:{found.number}"),
        ("runtime", found.runtime),
        ("bundle", found.bundle),
        ("size", size_text(found.size)),
        ("environment", environment),
        ("created", f"{when(found.created)} by {found.created_by or '-'}"),
        ("serving", ", ".join(found.serving) or "-"),
    ])  # fmt: skip
    files = found.manifest.get("files", ())
    if files:
        click.echo()
        show_table(("file", "size"), [(file["path"], size_text(file["size"])) for file in files])
