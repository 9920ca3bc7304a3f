"""Answers as CSV: one line a row, for spreadsheets and shells that asked with `accept: text/csv`.

Data flow: the plain door's predictions -> columns, an object's values as `name.key`, other nested values as
JSON text -> a header line and the rows. Missing is an empty cell.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from inferry.errors import ModelFailed


def write(predictions: Any) -> bytes:
    """The lines, ended by CRLF as RFC 4180 has them. Raises ModelFailed for what are no rows."""
    rows = predictions if isinstance(predictions, list) else [predictions]
    records = [_flat(row) if isinstance(row, dict) else {"prediction": _cell(row)} for row in rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([record.get(name, "") for name in names] for record in records)
    try:
        return text.getvalue().encode()
    except UnicodeEncodeError:
        raise ModelFailed("The model's answer holds text that is not valid Unicode.") from None


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            made.update({f"{name}.{key}": _cell(inner) for key, inner in value.items()})
        else:
            made[name] = _cell(value)
    return made


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        raise ModelFailed("The model's answer holds a value that CSV cannot express.", help="Ask for JSON.") from None
