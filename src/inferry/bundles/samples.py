"""Samples: example input in the files that people have.

Data flow: JSON, JSON lines, CSV, NPY, NPZ, Parquet or Arrow, by content -> columns or arrays -> Sample.
At most 1000 rows are kept. Nothing is unpickled. A picture or a sound stays a file: a declaration says what
becomes of it (`inferry.media`).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from inferry.errors import InvalidInput, TooLarge
from inferry.media import arrow
from inferry.media.kinds import HEAD, IMAGES, TABLES, kind_of
from inferry.types.columns import MAX_ROWS, column, sample_of
from inferry.types.sample import Sample

MAX_BYTES = 64 << 20
_NAMES = "Give JSON, JSON lines, CSV, NPY, NPZ, Parquet or Arrow."
_MISSING = {"", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "null", "NULL", "None", "<NA>", "#N/A"}
_BOOLS = {"True": True, "true": True, "TRUE": True, "False": False, "false": False, "FALSE": False}
_MAX_COLUMNS = 10_000


def parse(path: Path) -> Sample:
    """Read a sample file. Raises InvalidInput with what is wrong with it, TooLarge over 64 MB."""
    if path.stat().st_size > MAX_BYTES:
        raise TooLarge(
            "The sample file is larger than 64 MB.", help=f"A few rows are enough: at most {MAX_ROWS} are read."
        )
    with path.open("rb") as file:
        first = file.read(HEAD)
    if first.startswith(b"\x93NUMPY"):
        return _npy(path)
    if kind_of(first) in TABLES:
        names, rows = arrow.read(path.read_bytes(), most=MAX_ROWS)
        return sample_of([dict(zip(names, row, strict=True)) for row in rows])
    if first.startswith(b"PK\x03\x04"):
        return _npz(path)
    return parse_text(path.read_bytes())


def media_file(path: Path) -> bytes | None:
    """The bytes of a picture or a sound; None for every other sample. TooLarge over 64 MB."""
    with path.open("rb") as file:
        kind = kind_of(file.read(HEAD))
    if kind not in IMAGES and kind != "wav":
        return None
    if path.stat().st_size > MAX_BYTES:
        raise TooLarge("The sample file is larger than 64 MB.", help="Give a smaller picture or a shorter sound.")
    return path.read_bytes()


def parse_text(data: bytes) -> Sample:
    """JSON, JSON lines or CSV."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("The sample file is neither text in UTF-8 nor a known format.", help=_NAMES) from None
    if not text.strip():
        raise InvalidInput("The sample file is empty.", help=_NAMES)
    if "\0" in text:
        raise InvalidInput("The sample file is not text.", help=_NAMES)
    try:
        said = msgspec.json.decode(text)
        return dataclasses.replace(sample_of(said), value=said)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        refusal = str(error)
    if text.lstrip()[0] in "[{":
        return _json_lines(text, refusal)
    return _csv(text)


def _json_lines(text: str, refusal: str) -> Sample:
    lines = [line for line in text.splitlines() if line.strip()]
    rows: list[Any] = []
    for number, line in enumerate(lines[:MAX_ROWS], 1):
        try:
            rows.append(msgspec.json.decode(line))
        except (msgspec.DecodeError, ValueError, RecursionError):
            wrong = f"line {number}" if rows else refusal
            raise InvalidInput(f"The sample file is not valid JSON ({wrong}).", help=_NAMES) from None
    return sample_of(rows)


def _csv(text: str) -> Sample:
    lines = text.splitlines()
    delimiter = max(",;\t|", key=lambda char: (lines[0].count(char), char == ","))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [row for row, _ in zip((row for row in reader if row), range(MAX_ROWS + 1), strict=False)]
    except csv.Error as error:
        raise InvalidInput(f"The sample file is not valid CSV: {error}.", help=_NAMES) from None
    if not rows:
        raise InvalidInput("The sample file is empty.", help=_NAMES)
    width = len(rows[0])
    if width > _MAX_COLUMNS:
        raise InvalidInput(f"The sample has {width} columns; at most {_MAX_COLUMNS} are read.")
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise InvalidInput(f"Row {number} of the sample has {len(row)} values, the first has {width}.")
    header = [name.strip() for name in rows[0]]
    if all(_float(name) is not None for name in header):
        return Sample(
            kind="tensors", tensors={"": np.array([[_cell(cell) for cell in row] for row in rows[:MAX_ROWS]])}
        )
    body = rows[1:]
    if not body:
        raise InvalidInput("The sample has a header but no row.", help="Give at least one row.")
    if len(set(header)) != width:
        raise InvalidInput("The sample's header names a column twice.")
    columns = {name: typed([row[at].strip() for row in body]) for at, name in enumerate(header)}
    if not header[0] and width > 1:
        del columns[""]  # the row numbers that pandas writes
    if any(not name for name in columns):
        raise InvalidInput("The sample's header has a column without a name.")
    return Sample(kind="table", tensors=columns)


def _cell(cell: str) -> float:
    value = _float(cell.strip())
    if value is None:
        if cell.strip() in _MISSING:
            return math.nan
        raise InvalidInput(
            f"The sample has no header, and {cell.strip()[:40]!a} is not a number.", help="Begin with a header line."
        )
    return value


def _float(cell: str) -> float | None:
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        return None


def typed(cells: list[str]) -> Any:
    """A column of text as whole numbers, numbers, bools, or text, None for missing."""
    present = [cell for cell in cells if cell not in _MISSING]
    values: list[Any]
    if present and len(present) == len(cells) and all(cell in _BOOLS for cell in cells):
        values = [_BOOLS[cell] for cell in cells]
    elif all(_whole(cell) for cell in present):
        values = [None if cell in _MISSING else int(cell) for cell in cells]
    elif all(_float(cell) is not None for cell in present):
        values = [None if cell in _MISSING else _float(cell) for cell in cells]
    else:
        values = [None if cell in _MISSING else cell for cell in cells]
    return column(values)


def _whole(cell: str) -> bool:
    digits = cell[1:] if cell[:1] in {"+", "-"} else cell
    return digits.isascii() and digits.isdigit() and len(digits) <= 18


def _npy(path: Path) -> Sample:
    with path.open("rb") as file:
        return sample_of(_array(file, path.stat().st_size))


def _npz(path: Path) -> Sample:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > 4 * MAX_BYTES or len(entries) > _MAX_COLUMNS:
                raise TooLarge("The sample's arrays are too large once unpacked.")
            arrays = {}
            for entry in entries:
                if not entry.filename.endswith(".npy"):
                    raise InvalidInput("The sample is a zip file that does not hold arrays.", help=_NAMES)
                with archive.open(entry) as file:
                    data = file.read(4 * MAX_BYTES)
                name = entry.filename.removesuffix(".npy")
                arrays[name] = sample_of(_array(io.BytesIO(data), len(data))).tensors[""]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InvalidInput("The sample file is a damaged zip file.", help=_NAMES) from error
    if not arrays:
        raise InvalidInput("The sample file holds no array.", help=_NAMES)
    lone = len(arrays) == 1 and next(iter(arrays)) == "arr_0"
    return Sample(kind="tensors", tensors={"": arrays["arr_0"]} if lone else arrays)


def _array(file: BinaryIO, size: int) -> Any:
    """One .npy array. Its header is believed only as far as the file has bytes for it."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject or dtype.names or dtype.kind not in "biufUS":
            raise InvalidInput(f"The sample's array holds values of type {dtype}, which cannot be sent.")
        if math.prod(shape) * dtype.itemsize > size - file.tell() or dtype.itemsize == 0:
            raise InvalidInput("The sample's array is truncated.")
        file.seek(0)
        return np.load(file, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        raise InvalidInput("The sample's array is damaged.", help=_NAMES) from error
