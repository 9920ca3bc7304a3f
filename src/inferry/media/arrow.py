"""Parquet and Arrow IPC: a file -> column names and rows of plain values, where pyarrow is there.

Data flow: bytes -> pyarrow table (bounded) -> names, rows; None for missing, categories as their values,
moments as ISO text. pyarrow is large, so it is an extra: without it a request is told so (415).
"""

from __future__ import annotations

import datetime
from typing import Any

from inferry.errors import InvalidInput, UnsupportedMedia

MAX_BYTES = 1 << 30  # of a table, unpacked
_HELP = "Send a whole Parquet file, Arrow stream or Arrow file."


def read(data: bytes, most: int = 0) -> tuple[list[str], list[list[Any]]]:
    """Column names and the first `most` rows (0: all). Raises InvalidInput, or UnsupportedMedia without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise UnsupportedMedia(
            "Parquet and Arrow need the package pyarrow, which this model's environment does not have.",
            help='Name pyarrow in its requirements.txt, or pip install "inferry[arrow]". CSV and JSON need nothing.',
        ) from None
    try:
        table = _table(pa, pq, data)
        if table.nbytes > MAX_BYTES:
            raise InvalidInput(f"The table is over {MAX_BYTES >> 20} MB.", help="Send fewer rows.")
        table = table.slice(0, most) if most else table
        columns = [_plain(column.to_pylist()) for column in table.columns]
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, UnicodeDecodeError) as error:
        raise InvalidInput("The table is cut off or damaged.", help=_HELP) from error
    return list(table.column_names), [list(row) for row in zip(*columns, strict=True)]


def _table(pa: Any, pq: Any, data: bytes) -> Any:
    source = pa.BufferReader(data)
    if data.startswith(b"PAR1"):
        file = pq.ParquetFile(source)
        meta = file.metadata
        if sum(meta.row_group(at).total_byte_size for at in range(meta.num_row_groups)) > MAX_BYTES:
            raise InvalidInput(f"The table is over {MAX_BYTES >> 20} MB.", help="Send fewer rows.")
        return file.read(use_threads=False)
    opened = pa.ipc.open_file(source) if data.startswith(b"ARROW1") else pa.ipc.open_stream(source)
    table = opened.read_all()
    table.validate(full=True)
    return table


def _plain(values: list[Any]) -> list[Any]:
    return [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN is how frames say missing
        return None
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else value
