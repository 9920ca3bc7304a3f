"""Rows: requests that say whether they come row by row or column by column.

Plain JSON tells the two apart by how deep its values are; TensorFlow Serving, KServe and MLflow
have a key for each. Row by row: a list with one element for each row, which is an object of
named values, a list in the signature's order, or for a lone input just its value. Column by
column: an object of named arrays, or for a lone input just its array.

Data flow: a JSON value of either kind -> nested lists by input name -> checked arrays and
the number of rows. An open signature takes the value as it is.
"""

from __future__ import annotations

import math
from typing import Any

from inferry.errors import InvalidInput
from inferry.protocols import tensors
from inferry.protocols.cells import decode_b64, is_file, list_names, shown
from inferry.protocols.plain import PlainCodec
from inferry.types.signature import Signature

Read = tuple[Any, int]
"""Inputs as the runtime takes them, and their rows (0: not countable)."""


class Rows:
    """Reads requests of both kinds for one signature."""

    def __init__(self, signature: Signature) -> None:
        self.plain = PlainCodec(signature)
        self.hint = self.plain.hint
        self.nan = None if signature.kind == "table" else math.nan
        """What NaN stands for: a missing value in a column, a number in a tensor."""
        self._open = signature.kind == "open"
        self._names = [spec.name for spec in signature.inputs]
        self._lone = signature.inputs[0] if len(signature.inputs) == 1 else None

    def by_row(self, values: list[Any]) -> Read:
        """One element for each row. Raises InvalidInput."""
        if self._open:
            return values, 0
        if not values:
            raise InvalidInput("The request has no rows.", help=self.hint)
        first, lone = values[0], self._lone
        if type(first) is dict and not (lone and (is_file(first, lone) or decode_b64(first) is not None)):
            return self.plain.arrays(self.plain.from_records(values))
        if lone is None or (lone.shape == (-1,) and type(first) is list):
            return self.plain.arrays(self.plain.from_rows(values))
        if tensors.by_row(lone):
            return self.plain.arrays({lone.name: values})
        if len(values) > 1:
            raise InvalidInput("This model takes one row at a time.", help=self.hint)
        return self.plain.arrays({lone.name: first})

    def by_column(self, value: Any) -> Read:
        """All rows of each input. Raises InvalidInput."""
        if self._open:
            return value, 0
        lone = self._lone
        if type(value) is dict and not (lone and (is_file(value, lone) or decode_b64(value) is not None)):
            self.plain.check_names(value, "")
            return self.plain.arrays(value)
        if lone is None:
            raise InvalidInput(
                f"The inputs are {shown(value)}, but the model takes {list_names(self._names)}.",
                help="Send an object with an array for each.",
            )
        return self.plain.arrays({lone.name: value})
