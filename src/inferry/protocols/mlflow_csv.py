"""MLflow's scoring protocol, CSV: a header line and rows, as pandas writes them.

Cells are read as the signature has them, an open one by what they look like. Missing is what pandas
takes for missing; for text only where the column takes missing values. A first column without a
name is the row numbers that pandas writes, and passed over.

Data flow: body -> lines -> cells by column -> `Frames` -> Call; the answer is JSON.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable
from typing import Any

from inferry.errors import InvalidInput
from inferry.protocols.mlflow import BadForm, MlflowCodec
from inferry.protocols.rows import Read
from inferry.protocols.tensors import FLOATS
from inferry.types.signature import Signature, TensorSpec

Reader = Callable[[str], Any]

MISSING = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
BOOLS = {
    "True": True, "TRUE": True, "true": True, "1": True,
    "False": False, "FALSE": False, "false": False, "0": False,
}  # fmt: skip
WHOLE = re.compile(r"[+-]?[0-9]{1,20}")

HINT = "Send a header line with the names of the columns, and one line for each row, separated by commas."


class CsvCodec(MlflowCodec):
    """Reads CSV and writes predictions, for one signature."""

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self._readers = {spec.name: self._reader(spec) for spec in signature.inputs}
        lone = signature.inputs[0] if len(signature.inputs) == 1 else None
        self._other = self._readers[lone.name] if lone else _guess

    def _read(self, data: bytes | memoryview) -> Read:
        return self.read(data)

    def read(self, data: bytes | memoryview) -> Read:
        """Inputs and their rows. Raises InvalidInput."""
        header, *lines = _lines(data)
        skip = 1 if not header[0].strip() and len(header) > 1 else 0
        names = [name.strip() for name in header[skip:]]
        readers = [self._readers.get(name, self._other) for name in names]
        rows = []
        for number, line in enumerate(lines):
            if len(line) != len(header):
                raise BadForm(f"Row {number + 1} has {len(line)} values for {len(header)} columns.", help=HINT)
            rows.append([read(cell) for read, cell in zip(readers, line[skip:], strict=True)])
        if not rows:
            raise InvalidInput("The body has no rows.", help=HINT)
        return self._frames.from_table(names, rows)

    def _reader(self, spec: TensorSpec) -> Reader:
        """How a column's cells are read; what does not fit stays text, for `read_cells` to refuse."""
        if spec.datatype == "BYTES":
            known = {str(category): category for category in spec.categories}
            gaps = MISSING if spec.nullable else set[str]()
            return lambda cell: known.get(cell, None if cell in gaps else cell)
        if spec.datatype == "BOOL":
            return lambda cell: BOOLS.get(cell.strip(), cell)
        number, missing = _number if spec.datatype in FLOATS else _whole, self._frames.nan
        return lambda cell: missing if cell.strip() in MISSING else number(cell)


def _lines(data: bytes | memoryview) -> list[list[str]]:
    """All lines that are not blank, cut into cells; at least the header."""
    try:
        text = str(data, "utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except UnicodeDecodeError:
        raise BadForm("The body is not UTF-8 text.", help=HINT) from None
    except csv.Error as error:
        raise BadForm(f"The body is not valid CSV: {error}.", help=HINT) from None
    if not lines:
        raise BadForm("The body is empty.", help=HINT)
    return lines


def _number(cell: str) -> Any:
    try:
        value = float(cell)
    except ValueError:
        return cell
    said = math.isfinite(value) or "inf" in cell.lower()  # 1e999 does not say infinity
    return value if said and "_" not in cell else cell


def _whole(cell: str) -> Any:
    return int(cell) if WHOLE.fullmatch(cell.strip()) else _number(cell)


def _guess(cell: str) -> Any:
    """A cell for a model that names no types."""
    if cell.strip() in MISSING:
        return None
    value = _whole(cell)
    return BOOLS.get(cell.strip(), cell) if value is cell else value
