"""Quick: the JSON bodies that come most often, read straight into what the model takes.

    {"inputs": [[5.1, 3.5], ...]}                  rows of numbers, for a model with one matrix
    {"inputs": [{"age": 41, "job": "clerk"}, ...]} records of plain values, for a table

or the same under "instances", or without a wrapper, as the door has it. Data flow: body -> msgspec with the
signature's own types, which is the whole check of form and types -> `pack` checks ranges -> arrays; long rows of
numbers are read by `numbers`. Whatever is not exactly of this form is left to the door's long way (`plain`, `rows`),
which knows all others and names what is wrong.
"""

from __future__ import annotations

import struct
from itertools import chain
from typing import Any

import msgspec

from inferry.protocols import tensors
from inferry.protocols.cells import cell_type, pack, pack_columns, takes_null
from inferry.protocols.numbers import LONG, MOST, Numbers, narrow
from inferry.protocols.tensors import DTYPES, FLOATS, Array
from inferry.types.signature import Signature, TensorSpec

WRAPPERS = ("inputs", "instances")
MOST_COLUMNS = 256  # msgspec looks through all fields for a key that comes out of order
REST = 16  # requests that go without a try after one that was not of the form


class QuickRows:
    """Reads the usual form of one signature. `keys`: what rows may stand under; `bare`: or under none."""

    def __init__(self, signature: Signature, keys: tuple[str, ...] = WRAPPERS, *, bare: bool = True) -> None:
        self._specs = signature.inputs
        self._keys, self._bare = keys, bare
        self._rest = 0
        row = _row_type(signature)
        self._table = signature.kind == "table"
        self._numbers: Numbers | None = None
        self._decoder: msgspec.json.Decoder[Any] | None = None
        if row is not None:
            if not self._table and signature.inputs[0].datatype != "BF16":
                self._numbers = Numbers()
            rows = list[row]  # type: ignore[valid-type]
            wrapped = msgspec.defstruct(
                "Wrapped",
                [(key, rows | msgspec.UnsetType, msgspec.UNSET) for key in keys],
                forbid_unknown_fields=True,
            )
            self._decoder = msgspec.json.Decoder(wrapped | rows if bare else wrapped)

    def read(self, body: bytes | memoryview) -> tuple[dict[str, Array], int] | None:
        """The arrays of all inputs and their rows; None for a body to be read the long way. Raises InvalidInput."""
        if self._decoder is None:
            return None
        if self._rest:
            self._rest -= 1
            return None
        if LONG <= len(body) <= MOST and self._numbers is not None:
            matrix = self._numbers.rows(bytes(body), self._keys, bare=self._bare)
            array = None if matrix is None else self._fitting(matrix)
            if array is not None:
                return {self._specs[0].name: array}, len(array)
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

    def _fitting(self, matrix: Array) -> Array | None:
        """A matrix of numbers as the model takes it; None when it does not fit."""
        (spec,) = self._specs
        fits = all(size in (-1, found) for size, found in zip(spec.shape, matrix.shape, strict=True))
        return narrow(matrix, DTYPES[spec.datatype]) if fits and matrix.size else None

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
    """What stands under the one key; None when there are more or none."""
    given = [rows for rows in msgspec.structs.astuple(value) if rows is not msgspec.UNSET]
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
