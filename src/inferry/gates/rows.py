"""Rows: data files of gates, read whole: CSV, JSON lines, JSON, Parquet or Arrow, by content.

Data flow: file -> records with plain values, None for missing; CSV columns get the type that all their cells have.
An error names the file and the line.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inferry.bundles.samples import typed
from inferry.errors import InvalidInput
from inferry.media import arrow
from inferry.media.kinds import HEAD, TABLES, kind_of

MAX_BYTES = 1 << 30
FORMS = "Give CSV with a header, JSON lines, Parquet or Arrow."

Record = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """A file's records. `names`: its columns in order."""

    file: str
    names: tuple[str, ...]
    records: tuple[Record, ...]

    def column(self, name: str) -> list[Any]:
        """The values of a column. Raises InvalidInput when there is none of that name."""
        if name not in self.names:
            raise InvalidInput(f"{self.file} has no column {name!r}.", help=f"It has {', '.join(self.names)}.")
        return [record.get(name) for record in self.records]


def read_rows(path: Path) -> Rows:
    """Read a file. Raises InvalidInput."""
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(f"{path.name} is over {MAX_BYTES >> 30} GB.", help="Give fewer rows.")
    data = path.read_bytes()
    if kind_of(data[:HEAD]) in TABLES:
        names, lines = arrow.read(data)
        return Rows(path.name, tuple(names), tuple(dict(zip(names, line, strict=True)) for line in lines))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"{path.name} is neither text in UTF-8 nor Parquet.", help=FORMS) from None
    if not text.strip():
        raise InvalidInput(f"{path.name} is empty.", help=FORMS)
    return _json(path.name, text) if text.lstrip()[0] in "[{" else _csv(path.name, text)


def json_lines(file: str, text: str) -> list[tuple[int, Any]]:
    """The values of a file of JSON lines, each with its line. Raises InvalidInput."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append((number, msgspec.json.decode(line)))
            except (msgspec.DecodeError, RecursionError) as error:
                raise InvalidInput(f"{file}:{number}: the line is not JSON: {error}.", help=FORMS) from None
    return found


def _json(file: str, text: str) -> Rows:
    try:
        whole = msgspec.json.decode(text)
        values = list(enumerate(whole, 1)) if isinstance(whole, list) else [(1, whole)]
    except msgspec.DecodeError:
        values = json_lines(file, text)
    names: dict[str, None] = {}
    for number, value in values:
        if not isinstance(value, dict):
            raise InvalidInput(f"{file}:{number}: the row is not a JSON object.", help=FORMS)
        names |= dict.fromkeys(value)
    return Rows(file, tuple(names), tuple(value for _, value in values))


def _csv(file: str, text: str) -> Rows:
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InvalidInput(f"{file} is not valid CSV: {error}.", help=FORMS) from None
    names = [name.strip() for name in lines[0][1]]
    for number, row in lines[1:]:
        if len(row) != len(names):
            raise InvalidInput(f"{file}:{number}: the row has {len(row)} values, the header {len(names)}.", help=FORMS)
    if len(set(names)) != len(names) or len(lines) < 2:
        what = "has a header, but no row" if len(lines) < 2 else "names a column twice"
        raise InvalidInput(f"{file} {what}.", help=FORMS)
    columns = [_plain(typed([row[at].strip() for _, row in lines[1:]]).tolist()) for at in range(len(names))]
    return Rows(file, tuple(names), tuple(dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)))


def _plain(values: list[Any]) -> list[Any]:
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]
