"""`inferry replay`: requests that an endpoint was asked before, asked again.

Data flow: words -> a flow of the client -> progress on standard error -> how the answers differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inferry.cli.shared import (
    App,
    emit,
    json_option,
    parse_duration,
    pass_app,
    say,
    show_differing,
    show_fields,
    size_text,
    when,
)

if TYPE_CHECKING:
    from inferry.types.replay import InputsKept, Replayed


@click.command("replay")
@click.argument("name")
@click.option("--to", metavar="REVISION|MODEL:N", help="Who is asked: a revision or version that runs there.")
@click.option("--last", default="1h", callback=parse_duration, metavar="SPAN", help="Requests since.  [default: 1h]")
@click.option("--most", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="The latest so many.")
@click.option("--rate", metavar="N[x]", help="So many times as fast as they came.  [default: without pauses]")
@click.option("--compare/--no-compare", default=True, help="Ask the revision that serves, too, and compare.")
@click.option("--forget", is_flag=True, help="Remove what is kept of the endpoint.")
@json_option
@pass_app
def command(
    app: App, name: str, to: str | None, last: int, most: int, rate: str | None, compare: bool, forget: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Ask a revision what was asked before, and compare.

    NAME is the endpoint. Requests are kept where inferry traffic NAME --keep-inputs asks for it. Without --to, show how
    many there are. The exit code is 1 when an answer differs or is missing.

    \b
    Examples:
      inferry replay fraud
      inferry replay fraud --to fraud:4
      inferry replay fraud --to 7 --last 1d --rate 2x
    """  # noqa: D301
    client = app.client()
    if forget:
        gone = client.forget_inputs(name)
        emit({"forgotten": gone}) if as_json else click.echo(f"{gone} requests were forgotten")
        return 0
    if to is None:
        kept = client.inputs(name)
        emit(kept) if as_json else show_kept(kept)
        return 0
    found = client.replay(
        name, to, last_s=last, most=most, rate=speed(rate), compare=compare,
        on_event=lambda event: say(event.message) if event.message else None,
    )  # fmt: skip
    emit(found) if as_json else show(found)
    return 1 if found.differing or (found.errors and not found.against) else 0


def speed(text: str | None) -> float:
    """`2x` or `0.5`. Raises UsageError."""
    if text is None:
        return 0.0
    try:
        return float(text.removesuffix("x"))
    except ValueError:
        raise click.UsageError(f"{text!r} is not a rate. Write it like 2x or 0.5.") from None


def show_kept(kept: InputsKept) -> None:
    """What is kept, for people."""
    if not kept.requests:
        click.echo(f"No requests are kept. To keep some: inferry traffic {kept.endpoint} --keep-inputs 10")
        return
    show_fields([
        ("endpoint", kept.endpoint),
        ("kept", f"{kept.requests} requests, {size_text(kept.bytes)}"),
        ("oldest", when(kept.oldest)),
        ("newest", when(kept.newest)),
    ])  # fmt: skip


def show(found: Replayed) -> None:
    """A report for people."""
    errors = sorted(found.errors.items())
    wrong = ", ".join(f"{count} with {'no answer' if status == '0' else status}" for status, count in errors)
    against = f"p50 {found.against_p50_ms:g} ms, p99 {found.against_p99_ms:g} ms" if found.against else ""
    show_fields([
        ("endpoint", found.endpoint),
        ("asked", f"revision {found.revision} (version {found.version})"),
        ("against", f"revision {found.against}" if found.against else ""),
        ("sent", found.sent),
        ("passed over", f"{found.passed_over}, of doors that cannot be spoken again" if found.passed_over else ""),
        ("errors", wrong),
        ("time", f"p50 {found.p50_ms:g} ms, p99 {found.p99_ms:g} ms"),
        ("time against", against),
    ])  # fmt: skip
    if found.against:
        click.echo(
            f"\n{found.equal} of {found.compared} answers equal, {found.failed} failed where revision {found.against} "
            f"did not, {found.recovered} the other way round"
        )
    show_differing(found.fields)
