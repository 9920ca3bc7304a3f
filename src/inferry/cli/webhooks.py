"""`inferry webhooks`: who is told of what happens, and how telling them went.

Data flow: words -> a flow of the client -> a table, or one JSON document. A secret comes from a file or standard input,
never from the command line, where others could read it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inferry.cli.shared import App, emit, json_option, parse_duration, pass_app, say, show_fields, show_table, when

if TYPE_CHECKING:
    from inferry.client import Client
    from inferry.client.webhook_answers import DeliveryDetails, DeliveryInfo, NewWebhook

TEST_S = 30.0
POLL_S = 0.2

secret_option = click.option(
    "--secret-file", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True),
    help="Sign with the secret in it (whsec_...).  [default: one is made, and shown once]",
)  # fmt: skip


@click.group("webhooks")
def command() -> None:
    """Tell other systems what happens: signed CloudEvents over HTTP.

    \b
    Example:
      inferry webhooks add https://example.org/hook --events 'rollout.*,version.failed'
    """  # noqa: D301


@command.command("add")
@click.argument("url")
@click.option("--name", default="", metavar="NAME", help="What to call it here.  [default: one is made]")
@click.option("--events", default="*", metavar="TYPE,...", help="Types, or patterns such as rollout.*  [default: all]")
@secret_option
@click.option("--allow-http", is_flag=True, help="Send over plain http to other machines too.")
@json_option
@pass_app
def add(app: App, url: str, name: str, events: str, secret_file: Path | None, allow_http: bool, as_json: bool) -> None:
    """Tell URL of events from now on. The signing secret is shown once, now.

    \b
    Examples:
      inferry webhooks add https://example.org/hook --name ops
      inferry webhooks add https://example.org/hook --events 'rollout.*,pipeline.*' --secret-file secret.txt
    """  # noqa: D301
    patterns = [pattern.strip() for pattern in events.split(",") if pattern.strip()]
    made = app.client().add_webhook(url, name, events=patterns, secret=read_secret(secret_file), allow_http=allow_http)
    show_secret(made, given=secret_file is not None, as_json=as_json)


@command.command("list")
@json_option
@pass_app
def list_(app: App, as_json: bool) -> None:
    """List all webhooks, without their secrets.

    \b
    Example:
      inferry webhooks list
    """  # noqa: D301
    found = app.client().webhooks()
    if as_json:
        emit({"webhooks": found})
        return
    show_table(
        ("name", "url", "events", "state", "created", "by"),
        [
            (h.name, h.url, ", ".join(h.events), f"off: {h.off}" if h.off else "on", when(h.created), h.created_by)
            for h in found
        ],
    )


@command.command("remove")
@click.argument("name")
@json_option
@pass_app
def remove(app: App, name: str, as_json: bool) -> None:
    """Tell it nothing more, and forget its deliveries.

    \b
    Example:
      inferry webhooks remove ops
    """  # noqa: D301
    app.client().remove_webhook(name)
    emit({"removed": name}) if as_json else click.echo(f"The webhook {name} is removed.")


@command.command("on")
@click.argument("name")
@json_option
@pass_app
def on(app: App, name: str, as_json: bool) -> None:
    """Tell it again, after `off` or an answer of 410 Gone.

    \b
    Example:
      inferry webhooks on ops
    """  # noqa: D301
    made = app.client().turn_webhook(name, on=True)
    emit(made) if as_json else click.echo(f"The webhook {name} is on.")


@command.command("off")
@click.argument("name")
@json_option
@pass_app
def off(app: App, name: str, as_json: bool) -> None:
    """Tell it nothing. What happens meanwhile it will not hear of.

    \b
    Example:
      inferry webhooks off ops
    """  # noqa: D301
    made = app.client().turn_webhook(name, on=False)
    emit(made) if as_json else click.echo(f"The webhook {name} is off.")


@command.command("rotate")
@click.argument("name")
@secret_option
@click.option(
    "--keep", default="1d", callback=parse_duration, metavar="TIME", help="Sign with the old one too for so long."
)
@json_option
@pass_app
def rotate(app: App, name: str, secret_file: Path | None, keep: int, as_json: bool) -> None:
    """Sign with another secret; for a while the old one signs as well.

    \b
    Example:
      inferry webhooks rotate ops --keep 2d
    """  # noqa: D301
    made = app.client().rotate_webhook(name, secret=read_secret(secret_file), keep_s=keep)
    show_secret(made, given=secret_file is not None, as_json=as_json)


@command.command("test")
@click.argument("name")
@json_option
@pass_app
def test(app: App, name: str, as_json: bool) -> int:
    """Send it an event now; exit code 0 when it takes it.

    \b
    Example:
      inferry webhooks test ops
    """  # noqa: D301
    client = app.client()
    found = tried(client, client.test_webhook(name))
    emit(found) if as_json else show(found)
    return 0 if found.state == "delivered" else 1


@command.command("deliveries")
@click.argument("name")
@click.argument("number", type=click.IntRange(1), required=False)
@click.option("--state", type=click.Choice(["waiting", "delivered", "dead"]), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="The latest so many.")
@json_option
@pass_app
def deliveries(app: App, name: str, number: int | None, state: str | None, limit: int, as_json: bool) -> None:
    """Show the delivery log of NAME, newest first; with NUMBER one delivery in full.

    \b
    Examples:
      inferry webhooks deliveries ops
      inferry webhooks deliveries ops --state dead
      inferry webhooks deliveries ops 12
    """  # noqa: D301
    if number is not None:
        one = app.client().delivery(name, number)
        emit(one) if as_json else show(one)
        return
    found = app.client().deliveries(name, state=state or "", limit=limit)
    if as_json:
        emit({"deliveries": found})
        return
    show_table(
        ("number", "event", "subject", "state", "attempts", "status", "ms", "tried", "next try"),
        [
            (
                d.number, d.type, d.subject, d.state, d.attempts, *last(d),
                clock(d.due) if d.state == "waiting" and d.attempts else "-",
            )
            for d in found
        ],
    )  # fmt: skip


@command.command("redeliver")
@click.argument("name")
@click.argument("numbers", type=click.IntRange(1), nargs=-1)
@json_option
@pass_app
def redeliver(app: App, name: str, numbers: tuple[int, ...], as_json: bool) -> None:
    """Send deliveries that are over once more: those NUMBERS, or all that were given up.

    \b
    Examples:
      inferry webhooks redeliver ops 12
      inferry webhooks redeliver ops
    """  # noqa: D301
    count = app.client().redeliver(name, numbers)
    emit({"again": count}) if as_json else click.echo(f"{count} will be sent again.")


def read_secret(path: Path | None) -> str:
    """The secret in a file, or on standard input."""
    if path is None:
        return ""
    if str(path) == "-":
        return sys.stdin.readline().strip()
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def show_secret(made: NewWebhook, *, given: bool, as_json: bool) -> None:
    """A secret that was made, once; one that was given is known already."""
    if as_json:
        emit(made)
        return
    if not given:
        click.echo(made.secret)
        say("This secret is shown this once: the receiver needs it to verify what is sent.")
    say(f"The webhook {made.name} is told of: {', '.join(made.events)}. Try it: inferry webhooks test {made.name}")


def tried(client: Client, sent: DeliveryInfo) -> DeliveryDetails:
    """A delivery once its first attempt is over."""
    end = time.monotonic() + TEST_S
    while True:
        found = client.delivery(sent.hook, sent.number)
        if found.attempts or found.state != "waiting" or time.monotonic() > end:
            return found
        time.sleep(POLL_S)


def show(found: DeliveryDetails) -> None:
    """A delivery for people."""
    waits = found.state == "waiting" and found.attempts
    show_fields(
        [
            ("delivery", found.number),
            ("event", f"{found.type} {found.id}"),
            ("subject", found.subject),
            ("state", found.state),
            ("next try", clock(found.due) if waits else ""),
            ("body", found.body),
        ]
    )
    if found.tried:
        click.echo()
        show_table(
            ("attempt", "at", "status", "ms", "answer"),
            [(one.number, clock(one.at), one.status or "-", round(one.ms), one.words) for one in found.tried],
        )


def last(found: DeliveryInfo) -> tuple[object, object, str]:
    """Status, milliseconds and moment of the latest attempt."""
    return (
        ("-", "-", "-")
        if found.last is None
        else (found.last.status or "-", round(found.last.ms), clock(found.last.at))
    )


def clock(seconds: float) -> str:
    """A moment in local time, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
