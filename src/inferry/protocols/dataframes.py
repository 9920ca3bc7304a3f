"""Data frames: named columns over rows of JSON values -> a model's inputs, as MLflow reads them.

The columns may come in any order, and more of them than the model takes. A frame without names
goes by the signature's order. For a model whose lone input is a matrix, the frame is that
matrix, whatever its columns are called.

Data flow: names and rows, records, named arrays or bare ones -> nested lists by input name ->
checked arrays and the number of rows. An open signature takes records, or the value as it is.
"""

from __future__ import annotations

from typing import Any

from inferry.errors import InvalidInput
from inferry.protocols.cells import decode_b64, is_file
from inferry.protocols.rows import Read, Rows
from inferry.types.signature import Signature


class Frames:
    """Reads data frames, and what MLflow takes beside them, for one signature."""

    def __init__(self, signature: Signature) -> None:
        self._rows = Rows(signature)
        self.hint = self._rows.hint
        self.nan = self._rows.nan
        self._open = signature.kind == "open"
        self._names = [spec.name for spec in signature.inputs]
        self._lone = signature.inputs[0] if len(signature.inputs) == 1 else None

    def from_table(self, names: list[str] | None, rows: list[list[Any]]) -> Read:
        """Column names, if any, and rows of equally many values. Raises InvalidInput."""
        width = len(names) if names is not None else len(rows[0]) if rows else 0
        for index, row in enumerate(rows):
            if len(row) != width:
                raise InvalidInput(
                    f"Row {index + 1} has {len(row)} values for {width} columns.", help="Make all rows equally long."
                )
        if names is None:
            return self._rows.by_row(rows)
        places = {name: at for at, name in enumerate(names)}
        if len(places) != width:
            twice = next(name for at, name in enumerate(names) if places[name] != at)
            raise InvalidInput(f"The column {twice[:60]!r} is named twice.", help="Name each column once.")
        if self._open:
            return [dict(zip(names, row, strict=True)) for row in rows], 0
        if self._is_matrix(names):
            return self._rows.by_row(rows)
        return self._rows.plain.arrays({name: [row[places[name]] for row in rows] for name in self._names})

    def from_records(self, records: list[dict[str, Any]]) -> Read:
        """One object for each row. Raises InvalidInput."""
        if self._open or not records:
            return self._rows.by_row(records)
        names = list(records[0])
        matrix = self._is_matrix(names)
        wanted = names if matrix else self._names
        for index, record in enumerate(records):
            missing = next((name for name in wanted if name not in record), None)
            if missing is not None:
                raise InvalidInput(f"Row {index + 1}: missing column {missing[:60]!r}.", help=self.hint)
        if matrix:
            return self._rows.by_row([[record[name] for name in names] for record in records])
        return self._rows.plain.arrays({name: [record[name] for record in records] for name in wanted})

    def from_instances(self, instances: list[Any]) -> Read:
        """One element for each row. Raises InvalidInput."""
        if instances and all(self._is_named(instance) for instance in instances):
            return self.from_records(instances)
        return self._rows.by_row(instances)

    def from_inputs(self, value: Any) -> Read:
        """Named arrays or one named row, or the lone input's array. Raises InvalidInput."""
        if self._open:
            return value, 0
        if self._is_named(value):
            taken = {name: value[name] for name in self._names if name in value}
            named = taken if len(taken) == len(self._names) else value
            return self._rows.plain.arrays(self._rows.plain.from_dict(named))
        if self._lone is None and type(value) is list:
            return self.from_instances(value)
        return self._rows.by_column(value)

    def _is_named(self, value: Any) -> bool:
        lone = self._lone
        return type(value) is dict and not (lone and (is_file(value, lone) or decode_b64(value) is not None))

    def _is_matrix(self, names: list[str]) -> bool:
        """Whether the columns are the features of a lone matrix; else all that the model takes are among them."""
        missing = [name for name in self._names if name not in names]
        if not missing:
            return False
        if self._lone is None or len(self._lone.shape) != 2:
            self._rows.plain.check_names(dict.fromkeys(names), "")
        return True
