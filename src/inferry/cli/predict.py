"""`inferry predict`: try an endpoint with JSON, with a file, or with its own example.

Data flow: `-d` (JSON, @FILE, - for standard input) or the endpoint's example -> the plain
door -> one line a prediction. A CSV file is read by the endpoint's signature; a picture, a sound or
a Parquet file is sent as it is. An answer that is a file goes to standard output as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inferry.cli.shared import App, emit, json_option, pass_app
from inferry.errors import InvalidInput

if TYPE_CHECKING:
    from inferry.client import Endpoint
    from inferry.types.signature import Signature


@click.command("predict")
@click.argument("name")
@click.option("-d", "--data", metavar="JSON|@FILE|-", help="The input.  [default: the endpoint's example]")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="How long to wait.")
@json_option
@pass_app
def command(app: App, name: str, data: str | None, timeout: float | None, as_json: bool) -> None:
    """Ask the endpoint NAME for predictions.

    \b
    Examples:
      inferry predict iris
      inferry predict iris -d '[[5.1, 3.5, 1.4, 0.2]]'
      inferry predict fraud -d '{"age": 41, "job": "clerk"}'
      inferry predict fraud -d @rows.csv --json
      inferry predict cats -d @photo.png
      cat rows.json | inferry predict fraud -d -
    """  # noqa: D301
    endpoint = app.client().endpoint(name)
    answer = endpoint.ask(endpoint.example() if data is None else read_data(data, endpoint), timeout=timeout)
    if isinstance(answer.predictions, bytes) and not as_json:
        if sys.stdout.isatty():
            raise InvalidInput("The answer is a file.", help=f"Write it to one: inferry predict {name} ... > answer")
        sys.stdout.buffer.write(answer.predictions)
        return
    if as_json:
        emit(answer)
        return
    rows = answer.predictions if isinstance(answer.predictions, list) else [answer.predictions]
    for row in rows:
        emit(row)


def read_data(text: str, endpoint: Endpoint) -> Any:
    """The body that `-d` stands for."""
    import msgspec

    from inferry.client.files import is_file

    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        path = Path(text[1:]).expanduser()
        if is_file(path):
            return path
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise InvalidInput(f"{str(path)!r} cannot be read: {reason}.", help="Give a CSV or JSON file.") from error
        if path.suffix.lower() in (".csv", ".tsv"):
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            return read_csv(text, endpoint.metadata().signature, delimiter)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The data is not JSON: {error}.", help="Quote it, or name a file with @FILE.") from error


def read_csv(text: str, signature: Signature, delimiter: str = ",") -> Any:
    """Records for a table, rows of numbers for arrays; a first line without numbers is a header."""
    import csv

    lines = [line for line in csv.reader(text.splitlines(), delimiter=delimiter) if line]
    if not lines:
        raise InvalidInput("The file has no rows.", help="Give at least one row.")
    if signature.kind == "tensors" and len(signature.inputs) == 1:
        has_header = not all(_is_number(cell) for cell in lines[0])
        return [[_value(cell, "FP64") for cell in line] for line in lines[has_header:]]
    datatypes = {spec.name: spec.datatype for spec in signature.inputs}
    header = [name.strip() for name in lines[0]]
    kept = [place for place, name in enumerate(header) if name in datatypes or not datatypes]
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise InvalidInput(
                f"Line {number} has {len(line)} values, the header has {len(header)}.", help="Mend the file."
            )
    return [{header[i]: _value(line[i], datatypes.get(header[i], "")) for i in kept} for line in lines[1:]]


def _value(cell: str, datatype: str) -> Any:
    """A cell in the type its column takes; what cannot be is sent as text, for the server to point at."""
    if cell.strip() == "":
        return None
    if datatype == "BOOL":
        return {"true": True, "false": False}.get(cell.strip().lower(), cell)
    if datatype == "BYTES" or not _is_number(cell):
        return cell
    return int(cell) if cell.strip().lstrip("+-").isdecimal() else float(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
