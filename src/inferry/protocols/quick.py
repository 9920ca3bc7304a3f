"""Quick: the plain bodies that come most often, read straight into what the model takes.

    {"inputs": [[5.1, 3.5], ...]}                  rows of numbers, for a model with one matrix
    {"inputs": [{"age": 41, "job": "clerk"}, ...]} records of plain values, for a table

or the same under "instances", or without a wrapper. Data flow: body -> msgspec with the signature's own types, which
is the whole check of form and types -> `pack` checks ranges -> arrays. Whatever is not exactly of this form
is left to `plain`, which knows all others and names what is wrong.
"""

from __future__ import annotations

import struct
from itertools import chain
from typing import Any

import msgspec

from inferry.protocols import tensors
from inferry.protocols.cells import cell_type, pack, pack_columns, takes_null
from inferry.protocols.tensors import FLOATS, Array
from inferry.types.signature import Signature, TensorSpec

WRAPPERS = ("inputs", "instances")
MOST_COLUMNS = 256  # msgspec looks through all fields for a key that comes out of order
REST = 16  # requests that go without a try after one that was not of the form


class QuickRows:
    """Reads the usual form of one signature."""

    def __init__(self, signature: Signature) -> None:
        self._specs = signature.inputs
        self._rest = 0
        row = _row_type(signature)
        self._table = signature.kind == "table"
        self._decoder: msgspec.json.Decoder[Any] | None = None
        if row is not None:
            rows = list[row]  # type: ignore[valid-type]
            wrapped = msgspec.defstruct(
                "Wrapped",
                [(name, rows | msgspec.UnsetType, msgspec.UNSET) for name in WRAPPERS],
                forbid_unknown_fields=True,
            )
            self._decoder = msgspec.json.Decoder(wrapped | rows)

    def read(self, body: bytes | memoryview) -> tuple[dict[str, Array], int] | None:
        """The arrays of all inputs and their rows; None for a body to be read the long way. Raises InvalidInput."""
        if self._decoder is None:
            return None
        if self._rest:
            self._rest -= 1
            return None
        try:
            value = self._decoder.decode(body)
            rows = value if type(value) is list else _unwrap(value)
            found = None if not rows else self._records(rows) if self._table else self._matrix(rows)
        except (ValueError, OverflowError, RecursionError, struct.error):  # msgspec's errors are ValueErrors
            found = None
        if found is None:
            self._rest = REST
            return None
        return found, len(rows)

    def _matrix(self, rows: list[list[float]]) -> dict[str, Array] | None:
        (spec,) = self._specs
        width = spec.shape[1] if spec.shape[1] >= 0 else len(rows[0])
        for row in rows:
            if len(row) != width:
                return None
        if not width or spec.shape[0] not in (-1, len(rows)):
            return None
        cells = rows[0] if len(rows) == 1 else list(chain.from_iterable(rows))
        return {spec.name: pack(cells, spec.datatype, nulls=False, shape=(len(rows), width))}

    def _records(self, rows: list[Any]) -> dict[str, Array]:
        columns = zip(*map(msgspec.structs.astuple, rows), strict=True)
        return pack_columns(self._specs, columns, "column")


def _unwrap(value: Any) -> Any:
    """What stands under the one key; None when there are both or neither."""
    given = [rows for rows in (value.inputs, value.instances) if rows is not msgspec.UNSET]
    return given[0] if len(given) == 1 else None


def _row_type(signature: Signature) -> Any:
    """The type of one row; None for a signature that has no usual form."""
    specs = signature.inputs
    if signature.whole or any(spec.takes_files or spec.name in WRAPPERS for spec in specs):
        return None
    if signature.kind == "table" and all(spec.shape == (-1,) and _is_plain(spec.name) for spec in specs):
        return _record_type(specs) if 0 < len(specs) <= MOST_COLUMNS else None
    if signature.kind == "tensors" and len(specs) == 1 and len(specs[0].shape) == 2:
        (spec,) = specs
        if spec.datatype in FLOATS and not spec.nullable and not spec.closed and tensors.by_row(spec):
            return list[float]
    return None


def _is_plain(name: str) -> bool:
    """Whether JSON has only one way to write a name, as far as msgspec wants it."""
    return name.isprintable() and '"' not in name and "\\" not in name


def _record_type(specs: tuple[TensorSpec, ...]) -> Any:
    """A struct of all columns; their names may be no words of Python."""
    fields = [
        (f"f{index}", cell_type(spec.datatype, takes_null(spec, spec.datatype))) for index, spec in enumerate(specs)
    ]
    names = {field: spec.name for (field, _), spec in zip(fields, specs, strict=True)}
    return msgspec.defstruct("Record", fields, rename=names, forbid_unknown_fields=True, gc=False)
