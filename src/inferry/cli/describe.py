"""`inferry describe`: everything about one endpoint, or about one version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inferry.cli.lineage import lineage_fields
from inferry.cli.shared import App, emit, json_option, pass_app, show_fields, show_table, size_text, when
from inferry.cli.words import signature_lines, tested_text

if TYPE_CHECKING:
    from inferry.client.answers import Conversion, EndpointDetails, FellBack
    from inferry.client.version_answers import Protected, VersionDetails
    from inferry.types.registry import RevisionConfig
    from inferry.types.trials import Trial


@click.command("describe")
@click.argument("name", metavar="NAME|MODEL:N|MODEL@ALIAS")
@json_option
@pass_app
def command(app: App, name: str, as_json: bool) -> None:
    """Show all about an endpoint or a version.

    \b
    Examples:
      inferry describe fraud
      inferry describe fraud:3
      inferry describe fraud@champion
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
        ("as onnx", conversion_text(found.conversion) if found.conversion else ""),
        ("state", f"{found.state}, {found.replicas.ready} of {found.replicas.wanted} replicas ready"),
        ("problem", found.problem),
        ("fell back", fallback_text(found.fell_back) if found.fell_back else ""),
        ("last end", f"{found.last_end.why} ({when(found.last_end.at)})" if found.last_end else ""),
        ("traffic", traffic),
        ("url", found.url),
        ("schedule", schedule_text(found)),
        ("options", options_text(found)),
    ])  # fmt: skip
    click.echo()
    for line in signature_lines(found.signature):
        click.echo(line)
    if found.revisions:
        click.echo()
        show_table(
            ("revision", "version", "replicas", "timeout", "created", "by"),
            [
                (
                    r.number,
                    r.version,
                    replicas_text(r.config),
                    f"{r.config.timeout_s:g} s",
                    when(r.created),
                    r.created_by,
                )
                for r in found.revisions
            ],
        )
    for title, text in (("Try it:", found.curl), ("In Python:", found.python)):
        if text:
            click.echo(f"\n{title}\n\n{text.rstrip()}")


def fallback_text(found: FellBack) -> str:
    """That it returned to an earlier revision, and why."""
    return f"from revision {found.from_revision} to {found.to_revision}, since {found.why} ({when(found.at)})"


def replicas_text(config: RevisionConfig) -> str:
    """A number, or the two between which it varies."""
    return str(config.replicas) if config.scaling is None else f"{config.least}-{config.most}"


def schedule_text(found: EndpointDetails) -> str:
    """The other limits that the revision that serves has at certain times."""
    config = next((one.config for one in found.revisions if one.number == found.revision), None)
    return "; ".join(entry.text for entry in config.scaling.schedule) if config and config.scaling else ""


def options_text(found: EndpointDetails) -> str:
    """What the engine of the revision that serves was told."""
    config = next((one.config for one in found.revisions if one.number == found.revision), None)
    said = config.options.items() if config else ()
    return ", ".join(
        f"{name}={str(value)[:40]!a}" if isinstance(value, str) else f"{name}={value}" for name, value in said
    )


def conversion_text(made: Conversion) -> str:
    """What came of converting it, in a line."""
    if made.serves != "onnx":
        return f"no: {made.reason}"
    gain = f", {made.speed_up:g} times faster" if made.speed_up else ""
    return f"from {made.runtime} by {made.converter}, equal on {made.rows} rows{gain}"


def protected_text(protected: Protected | None) -> str:
    """Who protects it since when, and why."""
    if protected is None:
        return ""
    return f"since {when(protected.at)} by {protected.by}{f': {protected.reason}' if protected.reason else ''}"


def tested_in_full(test: Trial | None) -> str:
    """Its latest test: what came of it, when and by whom."""
    if test is None:
        return ""
    failed = f" ({', '.join(test.failed)})" if test.failed else ""
    return f"{tested_text(test)}{failed}, {when(test.at)} by {test.by}, report {test.number} ({test.digest[:12]})"


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
        ("aliases", ", ".join(f"{found.model}@{name}" for name in found.aliases)),
        ("protected", protected_text(found.protected)),
        ("tested", tested_in_full(found.test)),
        *lineage_fields(found.lineage),
    ])  # fmt: skip
    files = found.manifest.get("files", ())
    if files:
        click.echo()
        show_table(("file", "size"), [(file["path"], size_text(file["size"])) for file in files])
