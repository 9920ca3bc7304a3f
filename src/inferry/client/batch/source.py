"""Where rows come from: CSV, JSON lines and Parquet, read in order and in any number at a time.

Data flow: a file -> `take(n)` -> Rows, until there are none. What cannot be read as a row is a row all the same, with
what is wrong with it, so that rows are never counted otherwise than they lie in the file.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from inferry.errors import InvalidInput, MissingPlugin

SUFFIXES = (".csv", ".jsonl", ".parquet")
SKIP = 8192
PYARROW = "Parquet needs the package pyarrow."


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows that follow each other: `columns` by name, or `values` one by one. `bad`: place -> why it is no row."""

    size: int
    columns: dict[str, Sequence[Any]] | None = None
    values: list[Any] | None = None
    bad: dict[int, str] = field(default_factory=dict)

    def part(self, start: int, stop: int) -> Rows:
        """Some of them."""
        columns = None if self.columns is None else {name: cells[start:stop] for name, cells in self.columns.items()}
        values = None if self.values is None else self.values[start:stop]
        bad = {place - start: why for place, why in self.bad.items() if start <= place < stop}
        return Rows(size=stop - start, columns=columns, values=values, bad=bad)


class Source(Protocol):
    """An open file."""

    def take(self, most: int) -> Rows:
        """The next rows, at most so many; none at its end."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def open_source(path: Path, skip: int) -> Source:
    """A file behind its first `skip` rows. Raises InvalidInput."""
    kinds: dict[str, Callable[[Path], Source]] = {".csv": CsvSource, ".jsonl": LinesSource, ".parquet": ParquetSource}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise InvalidInput(f"{path.name!r} is of no kind that is scored.", help=f"Kinds: {', '.join(SUFFIXES)}.")
    try:
        source = kind(path)
    except OSError as error:
        raise InvalidInput(
            f"{str(path)!r} cannot be read: {error.strerror or error}.", help="Check the path."
        ) from error
    while skip:
        found = source.take(min(skip, SKIP))
        if not found.size:
            raise InvalidInput(f"{path.name!r} is shorter than it was.", help="Begin anew with --overwrite.")
        skip -= found.size
    return source


def files_in(path: Path) -> list[Path]:
    """A file, or the files of a folder by name. Raises InvalidInput when there is nothing to score."""
    if path.is_file():
        return [path]
    found = [one for one in sorted(path.glob("*")) if one.suffix.lower() in SUFFIXES and not hidden(one)]
    if not found:
        raise InvalidInput(
            f"{str(path)!r} is no file, and no folder with files to score.", help=f"Kinds: {', '.join(SUFFIXES)}."
        )
    return found


def about(path: Path) -> int:
    """How many rows a file has, more or less: of text, its lines."""
    if path.suffix.lower() == ".parquet":
        try:
            from pyarrow import parquet
        except ModuleNotFoundError:
            return 0
        return int(parquet.read_metadata(path).num_rows)
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def hidden(path: Path) -> bool:
    """Whether a file of a folder is somebody's note, not data."""
    return path.name.startswith((".", "_")) or not path.is_file()


class CsvSource:
    """A CSV file whose first line has the columns' names. Blank lines are no rows; an empty cell is None."""

    def __init__(self, path: Path) -> None:
        self._file = path.open(newline="", encoding="utf-8-sig", errors="surrogateescape")
        self._lines = (line for line in csv.reader(self._file) if line)
        header = next(self._lines, [])
        self._names = [name.strip() for name in header]
        if len(set(self._names)) != len(self._names):
            raise InvalidInput(f"{path.name!r} has two columns of one name.", help="Rename one of them.")

    def take(self, most: int) -> Rows:
        """The next rows."""
        width = len(self._names)
        lines = list(itertools.islice(self._lines, most))
        bad = {
            place: f"The line has {len(line)} cells, the first line has {width}."
            for place, line in enumerate(lines)
            if len(line) != width
        }
        for place in bad:
            lines[place] = [""] * width
        cells = zip(*lines, strict=True) if lines else ([] for _ in self._names)
        return Rows(size=len(lines), columns=dict(zip(self._names, map(list, cells), strict=True)), bad=bad)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LinesSource:
    """A file with one JSON value on each line. Blank lines are no rows."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._lines: Iterator[bytes] = (line for line in self._file if not line.isspace())
        self._decoder = msgspec.json.Decoder()

    def take(self, most: int) -> Rows:
        """The next rows."""
        values: list[Any] = []
        bad: dict[int, str] = {}
        for line in itertools.islice(self._lines, most):
            try:
                values.append(self._decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                bad[len(values)] = f"The line is not JSON: {error}."
                values.append(None)
        return Rows(size=len(values), values=values, bad=bad)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetSource:
    """A Parquet file. Numbers without gaps stay arrays."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as arrow
            from pyarrow import parquet
        except ModuleNotFoundError as error:
            raise MissingPlugin(PYARROW, help="pip install 'inferry[arrow]'") from error
        try:
            self._file = parquet.ParquetFile(path)
        except arrow.ArrowException as error:
            raise InvalidInput(f"{path.name!r} is no Parquet file.", help="See that it was written whole.") from error
        self._batches = self._file.iter_batches(batch_size=1 << 16)
        self._rest: Any = None

    def take(self, most: int) -> Rows:
        """The next rows: of one batch of the file, so perhaps fewer."""
        while self._rest is None or not self._rest.num_rows:
            self._rest = next(self._batches, None)
            if self._rest is None:
                return Rows(size=0, columns={})
        batch, self._rest = self._rest.slice(0, most), self._rest.slice(most)
        names = batch.schema.names
        return Rows(size=batch.num_rows, columns={name: cells_of(batch.column(name)) for name in names})

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def cells_of(column: Any) -> Sequence[Any]:
    """An Arrow column as an array of numbers (lists of one length: of two dimensions), else as plain values."""
    import pyarrow as arrow

    kind = column.type
    if column.null_count == 0:
        if arrow.types.is_integer(kind) or arrow.types.is_floating(kind):
            return column.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
        if arrow.types.is_fixed_size_list(kind) and arrow.types.is_floating(kind.value_type):
            flat = column.flatten().to_numpy(zero_copy_only=False)
            return flat.reshape(len(column), kind.list_size)  # type: ignore[no-any-return]
    return column.to_pylist()  # type: ignore[no-any-return]
