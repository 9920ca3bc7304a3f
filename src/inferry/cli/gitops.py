"""`inferry gitops`: what runs is what the newest commit of a Git branch declares.

Data flow: words -> a flow of the client -> how the repository stands, as text or one JSON document.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inferry.cli.shared import App, emit, json_option, parse_duration, pass_app, say, show_fields, when
from inferry.cli.webhooks import read_secret

if TYPE_CHECKING:
    from inferry.client.gitops import RepositoryInfo

POLL_S = 0.3


@click.group("gitops")
def command() -> None:
    """Follow a Git branch: its newest commit is what runs.

    \b
    Example:
      inferry gitops follow https://example.org/ml/fraud.git
    """  # noqa: D301


@command.command("follow")
@click.argument("url")
@click.option("--branch", default="main", show_default=True, metavar="NAME", help="The branch.")
@click.option("--path", default=".", show_default=True, metavar="FOLDER", help="Where its inferry.yaml is.")
@click.option("--interval", default="30s", callback=parse_duration, metavar="TIME", help="How often.  [default: 30s]")
@click.option(
    "--token-file", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True), help="A token for https."
)
@click.option("--prune", is_flag=True, help="Delete endpoints that a commit no longer declares.")
@click.option("--commands", is_flag=True, help="Let gates run programs of the repository on the platform's machine.")
@json_option
@pass_app
def follow(
    app: App, url: str, branch: str, path: str, interval: int, token_file: Path | None, prune: bool, commands: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Carry out every new commit of a branch of URL from now on.

    URL is one that git takes, or a path on the platform's machine. A platform has one project, so it follows one
    branch: this one takes the place of any before.

    \b
    Examples:
      inferry gitops follow git@example.org:ml/fraud.git
      inferry gitops follow https://example.org/ml/fraud.git --branch prod --path models --token-file token.txt
    """  # noqa: D301
    made = app.client().follow(
        url,
        branch=branch,
        path=path,
        interval_s=interval,
        token=read_secret(token_file),
        prune=prune,
        commands=commands,
    )
    emit(made) if as_json else show(made)


@command.command("status")
@json_option
@pass_app
def status(app: App, as_json: bool) -> None:
    """Show the branch that is followed, and what came of its newest commit.

    \b
    Example:
      inferry gitops status
    """  # noqa: D301
    found = app.client().repository()
    emit(found) if as_json else show(found)


@command.command("sync")
@click.option("--wait/--no-wait", default=True, help="Return when it is carried out.  [default: wait]")
@json_option
@pass_app
def sync(app: App, wait: bool, as_json: bool) -> int:
    """Look for a new commit now, and try one that failed again; exit code 0 when all is as it declares.

    \b
    Example:
      inferry gitops sync
    """  # noqa: D301
    client = app.client()
    asked = found = client.sync_repository()
    while wait and found.looked < asked.asked:
        time.sleep(POLL_S)
        found = client.repository()
    if as_json:
        emit(found)
    else:
        show(found)
    return 1 if wait and (found.trouble or found.state != "synced") else 0


@command.command("unfollow")
@json_option
@pass_app
def unfollow(app: App, as_json: bool) -> None:
    """Follow no branch any more. What runs goes on running.

    \b
    Example:
      inferry gitops unfollow
    """  # noqa: D301
    app.client().unfollow()
    emit({"unfollowed": True}) if as_json else click.echo("No repository is followed any more.")


def show(found: RepositoryInfo) -> None:
    """How it stands, for people."""
    show_fields(
        [
            ("repository", found.url),
            ("branch", f"{found.branch}, {'all of it' if found.path == '.' else found.path}"),
            ("state", found.state),
            ("commit", found.commit),
            ("done", when(found.at) if found.at else ""),
            ("looked", when(found.looked)),
            ("versions", ", ".join(f"{model}:{number}" for model, number in sorted(found.versions.items()))),
        ]
    )
    for line in ([found.trouble] if found.trouble else []) + list(found.words):
        say(f"error: {line}")
