"""`inferry feedback`: say what turned out to be true of predictions.

Data flow: `-d` (JSON, @FILE of JSON, JSON lines or CSV, - for standard input) -> items -> the inference door -> how
many were matched, and why others were not.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import click

from inferry.cli.shared import App, emit, json_option, pass_app, say
from inferry.errors import InvalidInput

SHOWN = 10
COLUMNS = ("request_id", "truth", "at")


@click.command("feedback")
@click.argument("name")
@click.option("-d", "--data", required=True, metavar="JSON|@FILE|-", help="What was true: JSON, JSON lines, or CSV.")
@json_option
@pass_app
def command(app: App, name: str, data: str, as_json: bool) -> int:
    """Say what turned out to be true of predictions.

    NAME is the endpoint.

    Each item has the request_id of a prediction (the header inferry-request-id of its answer) and its truth, a label
    or a number. The columns of a CSV file are request_id, truth and at; other columns are values by name.

    \b
    Examples:
      inferry feedback fraud -d '{"request_id": "order-7", "truth": "legit"}'
      inferry feedback fraud -d @labels.jsonl
      inferry feedback fraud -d @labels.csv
    """  # noqa: D301
    found = app.client().feedback(read_items(data), endpoint=name)
    if as_json:
        emit(found)
    else:
        click.echo(
            f"{found.matched} matched, {found.waiting} waiting for their prediction, {found.repeated} repeated, "
            f"{found.replaced} replaced, {found.refused} refused"
        )
        refused = [item for item in found.items if item.status == "refused"]
        for item in refused[:SHOWN]:
            say(f"{item.request_id or '(no id)'}: {item.error}")
        if len(refused) > SHOWN:
            say(f"... and {len(refused) - SHOWN} more")
    return 1 if found.refused else 0


def read_items(text: str) -> list[Any]:
    """The items that `-d` stands for. Raises InvalidInput."""
    if text == "-":
        return parse(sys.stdin.read(), "standard input")
    if not text.startswith("@"):
        return parse(text, "-d")
    path = Path(text[1:]).expanduser()
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {error}.", help="Give a file of JSON, JSON lines or CSV."
        ) from error
    return from_csv(content, str(path)) if path.suffix.lower() == ".csv" else parse(content, str(path))


def parse(text: str, where: str) -> list[Any]:
    """An object, a list, or an object on each line."""
    import msgspec

    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        items = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    items.append(msgspec.json.decode(line))
                except msgspec.DecodeError as error:
                    raise InvalidInput(
                        f"{where}, line {number}, is not JSON: {error}.", help="Write one object on each line."
                    ) from error
        return items
    return value if isinstance(value, list) else [value]


def from_csv(text: str, where: str) -> list[Any]:
    """One item a row; cells that are numbers are sent as numbers, empty ones not at all."""
    rows = csv.DictReader(io.StringIO(text))
    if "request_id" not in (rows.fieldnames or ()):
        raise InvalidInput(f"{where} has no column request_id.", help="Its columns are request_id, truth and at.")
    items = []
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise InvalidInput(f"{where}, line {number}, has not as many cells as the first.", help="Correct it.")
        item: dict[str, Any] = {"request_id": row["request_id"]}
        values = {name: cell_of(cell) for name, cell in row.items() if name not in COLUMNS and cell.strip()}
        for name in ("truth", "at"):
            if row.get(name, "").strip():
                item[name] = cell_of(row[name])
        items.append(item | ({"values": values} if values else {}))
    return items


def cell_of(cell: str) -> Any:
    """A cell as a number, true or false, or text."""
    text = cell.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return cell
