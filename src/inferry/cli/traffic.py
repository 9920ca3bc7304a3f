"""`inferry traffic`: how an endpoint's requests are shared out among its revisions.

Data flow: words such as `3=90` -> a plan, when there are any -> the shares and what was counted of each.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from inferry.cli.shared import App, emit, json_option, pass_app, show_differing, show_fields, show_table

if TYPE_CHECKING:
    from inferry.client.answers import Traffic
    from inferry.types.traffic import MirrorReport

SHARE = re.compile(r"([0-9]{1,9})=([0-9]{1,3})%?")
COPIES = re.compile(r"([0-9]{1,9})(?::([0-9]{1,3})%?)?")
PIN = re.compile(r"(.+)=([0-9]{1,9})", re.DOTALL)


@click.command("traffic")
@click.argument("name")
@click.argument("shares", nargs=-1, metavar="[REVISION=PERCENT]...")
@click.option("--key", metavar="PLACE", help="Where a request's key is: header:NAME, body:FIELD, or request.")
@click.option("--pin", multiple=True, metavar="KEY=REVISION", help="Always send a key to a revision.")
@click.option("--unpin", multiple=True, metavar="KEY", help="Let a key go where the shares send it.")
@click.option(
    "--warm", multiple=True, type=click.IntRange(1), metavar="REVISION", help="Keep it running without a share."
)
@click.option("--no-warm", is_flag=True, help="Run no revision without a share.")
@click.option("--mirror", metavar="REVISION[:PERCENT]", help="Send it copies, compare its answers, and drop them.")
@click.option("--no-mirror", is_flag=True, help="Send no copies.")
@click.option(
    "--keep", type=click.FloatRange(0, 100), metavar="PERCENT", help="Of the answers, keep these for feedback."
)
@click.option("--keep-most", type=click.IntRange(0), metavar="N", help="Keep at most so many answers a second.")
@click.option(
    "--keep-inputs", type=click.FloatRange(0, 100), metavar="PERCENT", help="Keep what was asked, too, for a replay."
)
@click.option("--allow-breaking", is_flag=True, help="Even if a revision breaks who calls the endpoint.")
@json_option
@pass_app
def command(
    app: App,
    name: str,
    shares: tuple[str, ...],
    key: str | None,
    pin: tuple[str, ...],
    unpin: tuple[str, ...],
    warm: tuple[int, ...],
    no_warm: bool,
    mirror: str | None,
    no_mirror: bool,
    keep: float | None,
    keep_most: int | None,
    keep_inputs: float | None,
    allow_breaking: bool,
    as_json: bool,
) -> None:
    """Show or change which revisions get the requests.

    NAME is the endpoint. A key always finds the same revision, and keeps it while that revision's share grows.
    Without a key each request goes its own way. A revision without a share answers who names it in the header
    inferry-revision.

    \b
    Examples:
      inferry traffic fraud
      inferry traffic fraud 3=90 4=10 --key header:x-user-id
      inferry traffic fraud --pin qa-team=4
      inferry traffic fraud --mirror 4:25
      inferry traffic fraud 4=100 --warm 3
      inferry traffic fraud --keep 5
      inferry traffic fraud --keep-inputs 10
    """  # noqa: D301
    import msgspec

    from inferry.types.traffic import Mirror, Sampling

    if (warm and no_warm) or (mirror and no_mirror):
        raise click.UsageError("--warm and --no-warm exclude each other, and so do --mirror and --no-mirror.")
    client = app.client()
    copies: Mirror | msgspec.UnsetType | None = None if no_mirror else msgspec.UNSET
    if mirror is not None:
        number, percent = fields(COPIES, mirror, "--mirror", "4 or 4:25")
        copies = Mirror(revision=int(number), percent=int(percent or 100))
    weights = {int(n): int(p) for n, p in (fields(SHARE, text, "a share", "3=90") for text in shares)}
    pins = {text: int(n) for text, n in (fields(PIN, text, "--pin", "qa-team=4") for text in pin)}
    sampling = None
    if keep is not None or keep_most is not None or keep_inputs is not None:
        now = client.traffic(name).sampling
        sampling = Sampling(
            percent=now.percent if keep is None else keep,
            most_per_s=now.most_per_s if keep_most is None else keep_most,
            inputs=now.inputs if keep_inputs is None else keep_inputs,
        )
    if shares or pin or unpin or warm or no_warm or mirror or no_mirror or key is not None or sampling is not None:
        found = client.share_out(
            name, weights or None, key="" if key == "request" else key, pin=pins, unpin=unpin,
            warm=warm if warm or no_warm else None, mirror=copies, sampling=sampling,
            allow_breaking=allow_breaking,
        )  # fmt: skip
    else:
        found = client.traffic(name)
    emit(found) if as_json else show(found)


def fields(pattern: re.Pattern[str], text: str, what: str, example: str) -> tuple[str, str]:
    """The two parts of a word. Raises UsageError."""
    match = pattern.fullmatch(text)
    if match is None:
        raise click.UsageError(f"{text!r} is not understood for {what}. Write it as {example}.")
    return match[1], match[2]


def show(found: Traffic) -> None:
    """Shares for people."""
    show_fields([
        ("endpoint", found.endpoint),
        ("key", found.key or "each request on its own"),
        ("pins", ", ".join(f"{key} to revision {number}" for key, number in found.pins.items())),
        ("mirror", f"{found.mirror.percent}% copied to revision {found.mirror.revision}" if found.mirror else ""),
        ("kept", f"{found.sampling.percent:g}% of the answers, at most {found.sampling.most_per_s} a second"),
        ("inputs", f"of {found.sampling.inputs:g}% of the requests" if found.sampling.inputs else ""),
    ])  # fmt: skip
    click.echo()
    show_table(
        ("revision", "version", "share", "requests", "errors", "p50 ms", "p99 ms"),
        [
            (
                one.revision, one.version, f"{one.percent}%{' (warm)' if one.warm else ''}", one.requests, one.errors,
                round(one.p50_s * 1000, 2), round(one.p99_s * 1000, 2),
            )
            for one in found.revisions
        ],
    )  # fmt: skip
    for one in found.revisions:
        if one.mirror is not None:
            click.echo()
            show_mirror(one.revision, one.mirror)


def show_mirror(revision: int, report: MirrorReport) -> None:
    """What came of copies, for people."""
    click.echo(
        f"revision {revision} as a shadow: {report.equal} of {report.compared} answers equal, {report.failed} failed "
        f"where the original did not, {report.dropped} copies dropped"
    )
    show_differing(report.fields)
