"""What commands share: the way to the platform, and the two ways to answer.

Data flow: global options -> App -> a client. A document or text goes to standard output,
everything else to standard error. rich is imported only to print a table.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from inferry.client import Client
    from inferry.client.settings import Settings
    from inferry.types.traffic import FieldDifference


@dataclass(frozen=True)
class App:
    """The global options."""

    url: str | None = None
    key: str | None = None
    home: Path | None = None

    def settings(self) -> Settings:
        """The options, else the environment, else the home's files."""
        from inferry.client.settings import resolve

        return resolve(self.url, self.key, self.home)

    def client(self) -> Client:
        """A client of the platform, closed when the command ends."""
        from inferry.client import Client

        return click.get_current_context().with_resource(Client(self.settings()))


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

pass_app = click.make_pass_decorator(App)

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of text."
)


def emit(document: Any) -> None:
    """One JSON document on standard output."""
    import msgspec

    click.echo(msgspec.json.encode(document))


def say(text: str) -> None:
    """A line for people, on standard error."""
    click.echo(text, err=True)


def show_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output; numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = [list(row) for row in rows]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, header in enumerate(headers):
        numbers = bool(lines) and all(isinstance(line[place], (int, float)) for line in lines)
        table.add_column(header, justify="right" if numbers else "left", overflow="fold")
    for line in lines:
        table.add_row(*(Text(str(cell)) for cell in line))
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def show_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Names and values, one a line, aligned; empty values left out."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        if value not in ("", None):
            click.echo(f"{name:<{width}}  {value}")


def show_differing(fields: Mapping[str, FieldDifference]) -> None:
    """The fields in which compared answers differ; nothing where they do not."""
    differing = {name: field for name, field in fields.items() if field.differing}
    if differing:
        show_table(
            ("field", "values", "differ", "largest difference"),
            [(name, field.values, field.differing, f"{field.largest:.3g}") for name, field in differing.items()],
        )


def when(seconds: float) -> str:
    """A moment in local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "-"


def size_text(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def parse_span(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """20ms, 30s or 5m in seconds; None when nothing was said."""
    from inferry.types.units import EXAMPLES, parse

    if text is None:
        return None
    try:
        return parse(text, "seconds")
    except ValueError as error:
        raise click.BadParameter(f"{error}. {EXAMPLES['seconds']}") from None


def parse_idle(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """A duration, or `auto`: 0, by which the platform chooses it."""
    return 0.0 if text == "auto" else parse_duration(ctx, param, text)


def parse_duration(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """90, 90s, 15m, 12h or 30d in seconds; None when nothing was said."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd]?)", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a duration like 90s, 15m, 12h or 30d.")
    return int(match[1]) * _UNITS[match[2] or "s"]
