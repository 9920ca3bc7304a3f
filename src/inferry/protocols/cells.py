"""Cells: JSON values -> numpy arrays, with errors that point at the value at fault.

Data flow: body bytes -> `parse` -> Python lists -> `flatten` (sizes checked level by level)
-> `read_cells`: one strict msgspec conversion and one `struct.pack` (which checks ranges)
-> array. Only when that fails is each value looked at, to accept the rarer spellings
(3.0 for an integer) or to name the row, the column and what is wrong.

What a JSON value may be: a number for FP*, a whole number in range for INT*/UINT*, true or
false for BOOL, text (or {"b64": "..."}) for BYTES; null only where the spec is nullable.
Rows and positions in messages count from 1.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InvalidInput
from inferry.protocols.tensors import DTYPES, FLOATS, Array, objects, round_bf16, show_shape, text_or_bytes, widen_bf16
from inferry.types.signature import TensorSpec

Where = Callable[[int], str]
"""Position in the flat cells -> words that say where that is."""

PACK = {
    "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "FP16": "e", "FP32": "f", "FP64": "d", "BF16": "f",
}  # fmt: skip


def _kind(datatype: str) -> Any:
    if datatype in FLOATS:
        return float
    return {"BOOL": bool, "BYTES": str}.get(datatype, int)


def cell_type(datatype: str, nullable: bool) -> Any:
    """The type of a JSON value that is a cell."""
    return _kind(datatype) | None if nullable else _kind(datatype)


LISTS: dict[tuple[str, bool], Any] = {
    (datatype, nullable): list[cell_type(datatype, nullable)]  # type: ignore[misc]
    for datatype in DTYPES
    for nullable in (False, True)
}
"""(datatype, nullable) -> the type of a flat list of its cells."""


def parse(decoder: msgspec.json.Decoder[Any], body: bytes | memoryview, hint: str) -> Any:
    """Decode JSON, with every way that can fail told as InvalidInput. `hint` says what to send."""
    try:
        return decoder.decode(body)
    except RecursionError:
        raise InvalidInput("The body is nested too deeply.", help=hint) from None
    except UnicodeDecodeError:
        raise InvalidInput("The body is not UTF-8 text.", help=hint) from None
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The body does not have the right form: {error}.", help=hint) from None
    except (msgspec.DecodeError, ValueError) as error:  # ValueError: an integer with absurdly many digits
        raise _malformed(bytes(body), str(error), hint) from None


def _malformed(body: bytes, reason: str, hint: str) -> InvalidInput:
    if not body.strip():
        return InvalidInput("The body is empty.", help=hint)
    found = re.search(r"\(byte (\d+)\)", reason)
    if found:
        at = int(found[1])
        token = re.search(rb"-?(?:NaN|Infinity)", body[max(at - 2, 0) : at + 10])
        if token:
            return InvalidInput(
                f"The body holds {token[0].decode()} at byte {at}, which is not JSON.",
                help="Send null where the model takes missing values, or use binary tensors.",
            )
    return InvalidInput(f"The body is not valid JSON ({reason.removeprefix('JSON is malformed: ')}).", help=hint)


def flatten(value: Any, wanted: Sequence[int], what: str) -> tuple[list[Any], tuple[int, ...]]:
    """Nested lists -> their cells in row-major order and their shape. `wanted` gives the rank,
    and sizes (-1: any) for the words of an error; the shape is checked by `fit`."""
    if not wanted:
        return [value], ()
    if type(value) is not list:
        raise InvalidInput(f"{what}: expected a list, got {shown(value)}.", help=f"Its shape is {show_shape(wanted)}.")
    cells, shape = value, [len(value)]
    for level in range(1, len(wanted)):
        if not cells:
            shape.append(max(wanted[level], 0))
            continue
        size = wanted[level] if wanted[level] >= 0 else len(cells[0]) if type(cells[0]) is list else 0
        if set(map(type, cells)) != {list} or set(map(len, cells)) != {size}:
            raise _ragged(cells, shape, size, what)
        shape.append(size)
        cells = list(chain.from_iterable(cells))
    return cells, tuple(shape)


def _ragged(cells: list[Any], shape: Sequence[int], size: int, what: str) -> InvalidInput:
    index = next(i for i, cell in enumerate(cells) if type(cell) is not list or len(cell) != size)
    cell = cells[index]
    came = f"{len(cell)} values" if type(cell) is list else f"{shown(cell)} in place of a list"
    return InvalidInput(
        f"{what}, {_position(index, shape)}: expected {size} values, got {came}.", help="Make all rows equally long."
    )


def _position(index: int, shape: Sequence[int]) -> str:
    row, *rest = (int(part) + 1 for part in np.unravel_index(index, tuple(shape)))
    return f"row {row}" + (f", position {show_shape(rest)}" if rest else "")


def locate(spec: TensorSpec, shape: tuple[int, ...], word: str) -> Where:
    """Where a cell of an input is: "Row 3, column 'age'"."""

    def where(index: int) -> str:
        if not shape:
            return f"{word.capitalize()} {spec.name!r}"
        position = _position(index, shape)
        row, _, rest = position.partition(", ")
        return f"{row.capitalize()}, {word} {spec.name!r}" + (f", {rest}" if rest else "")

    return where


def read_cells(cells: list[Any], spec: TensorSpec, where: Where, datatype: str = "") -> Array:
    """A 1-D array of `datatype` (default: the spec's) from flat JSON cells, or InvalidInput."""
    datatype = datatype or spec.datatype
    nulls = takes_null(spec, datatype)
    try:
        array = pack(msgspec.convert(cells, LISTS[datatype, nulls]), datatype, nulls)
    except (msgspec.ValidationError, OverflowError, struct.error):
        strict = [read_cell(cell, spec, datatype, nulls, where, index) for index, cell in enumerate(cells)]
        array = pack(strict, datatype, nulls)
    if spec.closed:
        check_known(array, spec, where)
    return array


def takes_null(spec: TensorSpec, datatype: str) -> bool:
    """Whether null is a value: NaN for a float, None for BYTES."""
    return spec.nullable and (datatype in FLOATS or datatype == "BYTES")


def pack(cells: Sequence[Any], datatype: str, nulls: bool, shape: tuple[int, ...] | None = None) -> Array:
    """Checked cells -> array, of one dimension unless a shape is given. Raises OverflowError or struct.error when one
    is out of range."""
    if datatype == "BYTES":
        array = objects(cells)
    elif datatype == "BOOL":
        array = np.array(cells, dtype=bool)
    elif datatype in ("FP64", "INT64"):  # no narrowing: numpy itself reads None as NaN and checks the range
        array = np.array(cells, DTYPES[datatype])
    else:
        if nulls:
            cells = [float("nan") if cell is None else cell for cell in cells]
        # struct checks the narrower ranges the same way on all numpy versions and never warns
        packed = bytearray(struct.pack(f"<{len(cells)}{PACK[datatype]}", *cells))
        if shape is not None and datatype != "BF16":
            return np.ndarray(shape, DTYPES[datatype], packed)
        array = np.frombuffer(packed, DTYPES[datatype])
        if datatype == "BF16":
            array = widen_bf16(round_bf16(array))
    return array if shape is None else array.reshape(shape)


def pack_columns(specs: Sequence[TensorSpec], columns: Iterable[Sequence[Any]], word: str) -> dict[str, Array]:
    """A table's columns of checked cells as arrays. Raises as `pack` does, and InvalidInput for an unknown category."""
    arrays = {
        spec.name: pack(column, spec.datatype, takes_null(spec, spec.datatype))
        for spec, column in zip(specs, columns, strict=True)
    }
    for spec in specs:
        if spec.closed:
            check_known(arrays[spec.name], spec, locate(spec, arrays[spec.name].shape, word))
    return arrays


def read_cell(value: Any, spec: TensorSpec, datatype: str, nulls: bool, where: Where, index: int) -> Any:
    """One cell in the type its datatype takes, or InvalidInput that says where and why not."""
    kind = _kind(datatype)
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}[kind]
    if value is None:
        if nulls:
            return None
        raise InvalidInput(f"{where(index)}: null came, but no missing values are taken here.", help=f"Send {words}.")
    if kind is str:
        if type(value) is str or (type(value) is not dict and _is_category(value, spec)):
            return value
        decoded = decode_b64(value)
        if decoded is not None:
            return decoded
    elif type(value) is kind or (kind is float and type(value) is int):
        return _in_range(value, datatype, where, index)
    elif kind is int and type(value) is float and value.is_integer():
        return _in_range(int(value), datatype, where, index)
    raise InvalidInput(f"{where(index)}: expected {words}, got {shown(value)}.", help=f"Send {words}.")


def _in_range(value: Any, datatype: str, where: Where, index: int) -> Any:
    try:
        if datatype in PACK:
            struct.pack(f"<{PACK[datatype]}", value)
    except (OverflowError, struct.error):
        raise InvalidInput(
            f"{where(index)}: {shown(value)} is out of the range of {datatype}.", help="Send a smaller number."
        ) from None
    return value


def _is_category(value: Any, spec: TensorSpec) -> bool:
    return any(type(known) is type(value) and known == value for known in spec.categories)


def decode_b64(value: Any) -> str | bytes | None:
    """The text or bytes of {"b64": "..."}; None for anything else."""
    if type(value) is not dict or value.keys() != {"b64"} or type(value["b64"]) is not str:
        return None
    try:
        return text_or_bytes(base64.b64decode(value["b64"], validate=True))
    except (binascii.Error, ValueError):
        return None


def is_file(value: Any, spec: TensorSpec | None) -> bool:
    """Whether a value is an encoded file for an input that takes files: {"b64": "..."}, or bytes of a form."""
    if spec is None or not spec.takes_files:
        return False
    return type(value) is bytes or (type(value) is dict and value.keys() == {"b64"})


def read_files(values: list[Any], where: Where) -> Array:
    """Encoded files, one a row. Raises InvalidInput for one that is no file, or not in base64."""
    found: list[Any] = []
    for index, value in enumerate(values):
        file = value if type(value) is bytes else decode_b64(value)
        if file is None:
            raise InvalidInput(f"{where(index)}: expected a file in base64.", help='Send {"b64": "..."} for each row.')
        found.append(file)
    return objects(found)


def check_known(array: Array, spec: TensorSpec, where: Where) -> None:
    """Refuse a category that the model never saw, where it says that it takes no others."""
    known = set(spec.categories)
    for index, value in enumerate(array.reshape(-1).tolist()):
        if value not in known and value is not None and value == value:  # noqa: PLR0124 (NaN)
            listed = ", ".join(shown(category) for category in spec.categories[:8])
            more = f" and {len(spec.categories) - 8} more" if len(spec.categories) > 8 else ""
            raise InvalidInput(
                f"{where(index)}: {shown(value)} is not a known category.", help=f"Known: {listed}{more}."
            )


def shown(value: Any) -> str:
    """A value for an error message: short, whatever its size, with nothing unprintable."""
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) in (list, dict):
        return f"a list of {len(value)}" if type(value) is list else "an object"
    text = repr(value[:40] if type(value) is str else value)
    return text if len(text) <= 40 else text[:37] + "..."


def unknown_name(what: str, name: str, known: Iterable[str]) -> InvalidInput:
    """The refusal of a name that the signature does not have, with the nearest one it has."""
    names, short = list(known), name[:60]
    close = difflib.get_close_matches(short, names, 1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return InvalidInput(f"There is no {what} {short!r}.", help=f"{hint}The model has {list_names(names)}.")


def list_names(known: Iterable[str]) -> str:
    """Names for a message, the first twenty."""
    names = [repr(name) for name in known]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
