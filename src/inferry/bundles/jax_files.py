"""What an exported JAX function says of itself. Its flatbuffer is read field by field; nothing of it runs.

Data flow: file -> root table -> the field that holds the program, which begins like MLIR bytecode (the
content's mark: the format has no other) -> platforms, the JAX that wrote it, whether the file has its end.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

_NAME, _PLATFORMS, _PROGRAM, _JAX_VERSION = 1, 9, 13, 26  # places of the fields in the table "Exported"
_MLIR = b"ML\xefR"
MAX_TEXT = 256


@dataclass(frozen=True)
class ExportedFunction:
    """`platforms`: what it was compiled for ("cpu", "cuda"...). `jax`: "0.12.0", "" when it does not say."""

    whole: bool
    platforms: tuple[str, ...] = ()
    jax: str = ""


def exported_function(path: Path) -> ExportedFunction | None:
    """What the file says; None when it is no exported JAX function. `whole` is False for a truncated one."""
    if path.stat().st_size < 64:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            fields = _fields(data)
            program = _target(data, fields[_PROGRAM])
            if data[program + 4 : program + 8] != _MLIR:
                return None
        except (struct.error, IndexError, ValueError):
            return None
        try:
            _text(data, fields[_NAME])  # written first, so it lies last
            platforms = _texts(data, fields[_PLATFORMS])
            version = _text(data, fields[_JAX_VERSION]) if len(fields) > _JAX_VERSION and fields[_JAX_VERSION] else ""
            whole = program + 4 + _at("<I", data, program) <= len(data)
        except (struct.error, ValueError):
            return ExportedFunction(whole=False)
    return ExportedFunction(whole=whole, platforms=platforms, jax=version)


def _at(form: str, data: mmap.mmap, place: int) -> int:
    if place < 0:
        raise ValueError(place)
    return int(struct.unpack_from(form, data, place)[0])


def _fields(data: mmap.mmap) -> list[int]:
    """Where the root table's fields lie; 0 for one that is absent."""
    root = _at("<I", data, 0)
    table = root - _at("<i", data, root)
    size = _at("<H", data, table)
    offsets = struct.unpack_from(f"<{(size - 4) // 2}H", data, table + 4)
    return [root + offset if offset else 0 for offset in offsets]


def _target(data: mmap.mmap, field: int) -> int:
    if not field:
        raise ValueError(field)
    return field + _at("<I", data, field)


def _text(data: mmap.mmap, field: int) -> str:
    start = _target(data, field)
    length = _at("<I", data, start)
    found = data[start + 4 : start + 4 + min(length, MAX_TEXT)]
    if start + 4 + length > len(data):
        raise ValueError(length)
    return found.decode("utf-8", "replace")


def _texts(data: mmap.mmap, field: int) -> tuple[str, ...]:
    start = _target(data, field)
    count = min(_at("<I", data, start), 16)
    return tuple(_text(data, start + 4 + 4 * at) for at in range(count))
