"""Where a version comes from, as options of the commands that make one, and in words."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from inferry.types.lineage import Lineage

OPTIONS = (
    click.option("--message", default="", metavar="TEXT", help="Why this version was made."),
    click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Kept with it; may be repeated."),
    click.option("--metric", "metrics", multiple=True, metavar="NAME=NUMBER", help="What training measured."),
    click.option("--run", default="", metavar="ID", help="The training run.  [default: the one in MLmodel]"),
    click.option(
        "--data", type=click.Path(path_type=Path), metavar="PATH", help="The training data; its sha256 is kept."
    ),
)


def lineage_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options as one argument `lineage`, None when none is used."""

    @wraps(command)
    def wrapped(
        *args: Any, message: str, labels: tuple[str, ...], metrics: tuple[str, ...], run: str, **rest: Any
    ) -> Any:
        from inferry.types.lineage import Lineage

        told = Lineage(message=message, run=run, labels=dict(map(pair, labels)), metrics=dict(map(measured, metrics)))
        return command(*args, lineage=None if told == Lineage() else told, **rest)

    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def pair(text: str) -> tuple[str, str]:
    """`team=risk`. Raises UsageError."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise click.UsageError(f"{text!r} is not NAME=VALUE.")
    return name, value


def measured(text: str) -> tuple[str, float]:
    """`auc=0.93`. Raises UsageError."""
    name, value = pair(text)
    try:
        return name, float(value)
    except ValueError:
        raise click.UsageError(f"{value!r} is not a number for the metric {name}.") from None


def commit_text(lineage: Lineage) -> str:
    """The commit in a line."""
    where = " ".join(part for part in (lineage.branch, lineage.remote) if part)
    changed = " with changes" if lineage.dirty else ""
    return f"{lineage.commit[:12]}{changed}{f' ({where})' if where else ''}" if lineage.commit else ""


def lineage_fields(lineage: Lineage) -> list[tuple[str, object]]:
    """Names and values for people."""
    return [
        ("commit", commit_text(lineage)),
        ("run", lineage.run),
        ("data", lineage.data),
        ("metrics", ", ".join(f"{name} {value:g}" for name, value in lineage.metrics.items())),
        ("labels", ", ".join(f"{name}={value}" for name, value in lineage.labels.items())),
        ("message", lineage.message),
    ]
