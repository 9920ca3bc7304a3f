"""Where predictions go: parts beside the output, each whole or not there, and in the end one file of them all.

Data flow: cells, column by column, and an error for each row that failed -> a part in the output's own format -> forced
to disk, renamed -> `merge`: all parts in order -> one file, renamed into place.
"""

from __future__ import annotations

import csv
import errno
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inferry.client.batch.columns import ERROR, FLOATS, WHOLE, Column, tolist
from inferry.client.batch.source import PYARROW, SUFFIXES
from inferry.errors import InvalidInput, MissingPlugin, StorageFull

Cells = list[list[Sequence[Any]]]
"""Column by column, each in pieces: arrays of numbers, or plain values."""


@contextmanager
def room() -> Iterator[None]:
    """A full disk as the house tells it."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(
            "The disk is full; what was scored is kept.", help="Free some space, then run it again."
        ) from error


def check_target(path: Path) -> str:
    """The format of an output. Raises InvalidInput, or MissingPlugin for one that cannot be written here."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInput(f"{path.name!r} is of no kind that is written.", help=f"Kinds: {', '.join(SUFFIXES)}.")
    if suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401 - only whether it is there
        except ModuleNotFoundError as error:
            raise MissingPlugin(PYARROW, help="pip install 'inferry[arrow]'") from error
    return suffix


def write_part(path: Path, columns: Sequence[Column], cells: Cells, errors: list[str | None]) -> None:
    """One part. `cells`: None in the rows that have an error."""
    fresh = path.with_name(f"{path.name}.new")
    with room():
        if path.suffix == ".parquet":
            _write_parquet(fresh, columns, cells, errors)
        elif path.suffix == ".csv":
            with fresh.open("w", newline="", encoding="utf-8") as file:
                shown = [
                    map(text, whole(column)) if kind.kind == "JSON" else whole(column)
                    for kind, column in zip(columns, cells, strict=True)
                ]
                csv.writer(file).writerows(zip(*shown, errors, strict=True))
        else:
            with fresh.open("wb") as lines:
                lines.write(msgspec.json.Encoder().encode_lines(objects(columns, cells, errors)))
        force(fresh)
        fresh.replace(path)
        force(path.parent)


def objects(columns: Sequence[Column], cells: Cells, errors: list[str | None]) -> list[dict[str, Any]]:
    """Rows as JSON lines have them: predictions, or the error."""
    names = [column.name for column in columns]
    return [
        dict(zip(names, line, strict=True)) if error is None else {ERROR: error}
        for error, line in zip(errors, zip(*map(whole, cells), strict=True), strict=True)
    ]


def whole(pieces: Sequence[Sequence[Any]]) -> Iterator[Any]:
    """A column's cells as plain values."""
    return itertools.chain.from_iterable(map(tolist, pieces))


def text(value: Any) -> Any:
    """A value of any form in a cell."""
    return None if value is None else msgspec.json.encode(value).decode()


def merge(parts: Sequence[Path], target: Path, columns: Sequence[Column], scratch: Path) -> None:
    """All parts as one file, put into place at once."""
    with room():
        if target.suffix.lower() == ".parquet":
            _merge_parquet(parts, scratch, columns)
        else:
            with scratch.open("wb") as out:
                if target.suffix.lower() == ".csv":
                    out.write(",".join([_quoted(column.name) for column in columns] + [ERROR]).encode() + b"\r\n")
                for part in parts:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, out, 1 << 20)
        force(scratch)
        scratch.replace(target)
        force(target.parent)


def force(path: Path) -> None:
    """Force a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if set(name) & set(',"\r\n') else name


def _schema(columns: Sequence[Column]) -> Any:
    import pyarrow as arrow

    def type_of(kind: str) -> Any:
        if kind == "BOOL":
            return arrow.bool_()
        if kind in WHOLE:
            return getattr(arrow, kind.lower())()
        if kind in FLOATS:
            return arrow.float64() if kind == "FP64" else arrow.float32()
        return arrow.string()

    fields = [arrow.field(column.name, type_of(column.kind)) for column in columns]
    return arrow.schema([*fields, arrow.field(ERROR, arrow.string())])


def _write_parquet(path: Path, columns: Sequence[Column], cells: Cells, errors: list[str | None]) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    schema = _schema(columns)

    def array(kind: Column, pieces: Sequence[Sequence[Any]], field: Any) -> Any:
        if kind.kind == "JSON":
            return arrow.array(map(text, whole(pieces)), field.type)
        made = [arrow.array(one, None if isinstance(one, np.ndarray) else field.type) for one in pieces]
        return arrow.chunked_array([one.cast(field.type) for one in made], field.type)

    arrays = [array(kind, pieces, field) for kind, pieces, field in zip(columns, cells, schema, strict=False)]
    told = arrow.array(errors, arrow.string())
    parquet.write_table(arrow.Table.from_arrays([*arrays, told], schema=schema), path)


def _merge_parquet(parts: Sequence[Path], scratch: Path, columns: Sequence[Column]) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(scratch, _schema(columns)) as out:
        for part in parts:
            out.write_table(parquet.read_table(part))
