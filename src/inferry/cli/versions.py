"""`inferry versions`: the immutable, numbered members of a model, and which of them stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from inferry.cli.lineage import commit_text
from inferry.cli.shared import App, emit, json_option, parse_duration, pass_app, show_table, size_text, when
from inferry.cli.words import tested_text

if TYPE_CHECKING:
    from inferry.client.version_answers import VersionInfo
    from inferry.types.retention import Retention


class WithDefault(click.Group):
    """A group whose `list` is meant when none of its commands is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` in front."""
        first = next((arg for arg in args if not arg.startswith("-")), "")
        if first and first not in self.commands:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("versions", cls=WithDefault)
def command() -> None:
    """List, protect and remove the versions of a model.

    \b
    Example:
      inferry versions fraud
    """  # noqa: D301


@command.command("list")
@click.argument("model")
@json_option
@pass_app
def list_(app: App, model: str, as_json: bool) -> None:
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
        ("version", "aliases", "runtime", "size", "bundle", "commit", "created", "by", "serving", "tested",
         "message"),
        [
            (f"{v.model}:{v.number}", ", ".join(v.aliases), v.runtime, size_text(v.size), v.bundle[:12],
             commit_text(v.lineage)[:12], when(v.created), v.created_by, ", ".join(v.serving) or "-",
             tested_text(v.test), f"{'(protected) ' if v.protected else ''}{v.lineage.message}")
            for v in found
        ],
    )  # fmt: skip


@command.command("protect")
@click.argument("version", metavar="MODEL:N")
@click.option("--reason", default="", metavar="TEXT", help="Kept with it.")
@json_option
@pass_app
def protect(app: App, version: str, reason: str, as_json: bool) -> None:
    """Let a version not be removed, by anybody or any rule.

    \b
    Example:
      inferry versions protect fraud:7 --reason "the audit of May"
    """  # noqa: D301
    from inferry.types.names import version_reference

    done(app.client().protect(*version_reference(version), reason=reason), as_json=as_json)


@command.command("unprotect")
@click.argument("version", metavar="MODEL:N")
@json_option
@pass_app
def unprotect(app: App, version: str, as_json: bool) -> None:
    """Lift that.

    \b
    Example:
      inferry versions unprotect fraud:7
    """  # noqa: D301
    from inferry.types.names import version_reference

    done(app.client().unprotect(*version_reference(version)), as_json=as_json)


RULE = (
    click.option("--keep", type=click.IntRange(1), metavar="N", help="The newest ones that stay.  [default: 10]"),
    click.option("--older-than", callback=parse_duration, metavar="TIME", help="Only those older: 30d, 12h..."),
    click.option("--rollback", callback=parse_duration, metavar="TIME",
                 help="How long what ran can be gone back to.  [default: 30d]"),
)  # fmt: skip


def rule_options(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a rule."""
    for option in reversed(RULE):
        wrapped = option(wrapped)
    return wrapped


def rule_of(keep: int | None, older_than: int | None, rollback: int | None) -> Retention | None:
    """The rule that options say; None when they say none."""
    from inferry.types.retention import Retention

    said = {"keep": keep, "older_than_s": older_than, "rollback_s": rollback}
    given = {name: value for name, value in said.items() if value is not None}
    return Retention(**given) if given else None


@command.command("prune")
@click.argument("model")
@rule_options
@click.option("--dry-run", is_flag=True, help="Only say what would go, and why the others stay.")
@json_option
@pass_app
def prune(
    app: App, model: str, keep: int | None, older_than: int | None, rollback: int | None, dry_run: bool, as_json: bool
) -> None:
    """Remove old versions of MODEL.

    Without a rule its own is followed (see retention). What runs, what can be rolled back to, what an alias
    names and what is protected always stays.

    \b
    Examples:
      inferry versions prune fraud --keep 10 --older-than 30d --dry-run
      inferry versions prune fraud
    """  # noqa: D301
    found = app.client().prune(model, rule_of(keep, older_than, rollback), dry_run=dry_run)
    if as_json:
        emit(found)
        return
    goes = "would go" if dry_run else "is removed"
    show_table(
        ("version", "", "because"),
        [(f"{model}:{v.number}", goes if v.removed else "stays", v.reason) for v in found.versions],
    )


@command.command("retention")
@click.argument("model")
@rule_options
@click.option("--off", is_flag=True, help="Let nothing go by itself any more.")
@json_option
@pass_app
def retention(
    app: App, model: str, keep: int | None, older_than: int | None, rollback: int | None, off: bool, as_json: bool
) -> None:
    """Show or set the rule by which old versions of MODEL go, every hour.

    \b
    Examples:
      inferry versions retention fraud --keep 10 --older-than 30d
      inferry versions retention fraud --off
    """  # noqa: D301
    client, rule = app.client(), rule_of(keep, older_than, rollback)
    if off and rule is not None:
        raise click.UsageError("--off takes no rule.")
    if off:
        client.delete_retention(model)
    found = client.retention(model) if rule is None else client.set_retention(model, rule)
    if as_json:
        emit(found)
    elif found.rule is None:
        click.echo(f"{model} has no rule: none of its versions goes by itself.")
    else:
        click.echo(
            f"Of {model} the {found.rule.keep} newest stay, what is younger than {found.rule.older_than_s:g} s, and "
            f"what ran in the last {found.rule.rollback_s:g} s (set {when(found.updated)} by {found.updated_by})."
        )


def done(found: VersionInfo, *, as_json: bool) -> None:
    """A version that is protected, or not any more."""
    if as_json:
        emit(found)
    else:
        click.echo(f"{found.model}:{found.number} is {'' if found.protected else 'not '}protected.")
