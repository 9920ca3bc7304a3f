"""Answer sheet: check rows and the native model's answers, in a file between two processes.

Data flow: named arrays in groups ("inputs", "answers", "refused") -> one npz without pickles; text is
kept as its UTF-8 bytes and lengths (-1: missing). What is read was written by a process that ran the
model's code: it is data, and checked as it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from inferry.errors import InvalidModel
from inferry.runtimes.tensors import Array

Groups = dict[str, dict[str, Array]]
MAX_BYTES = 512 << 20


def write_sheet(path: Path, groups: Mapping[str, Mapping[str, Array]]) -> None:
    """Write the groups."""
    kept: dict[str, Array] = {}
    for group, arrays in groups.items():
        for at, (name, array) in enumerate(arrays.items()):
            key = f"{group}/{at}"
            kept[f"{key}/name"] = np.frombuffer(name.encode(), dtype=np.uint8)
            if array.dtype.kind == "O":
                coded = [None if value is None else str(value).encode("utf-8", "replace") for value in array.ravel()]
                kept[f"{key}/sizes"] = np.array(
                    [-1 if value is None else len(value) for value in coded], dtype=np.int64
                ).reshape(array.shape)
                kept[f"{key}/text"] = np.frombuffer(b"".join(value or b"" for value in coded), dtype=np.uint8)
            else:
                kept[f"{key}/array"] = array
    np.savez(path, **kept)  # type: ignore[arg-type]


def read_sheet(path: Path) -> Groups:
    """What was written. Raises InvalidModel for a file that is none."""
    groups: Groups = {}
    try:
        if path.is_symlink() or path.stat().st_size > MAX_BYTES:
            raise InvalidModel("The answers of the native model are too large to compare.")
        with np.load(path, allow_pickle=False) as kept:
            for key in [name.removesuffix("/name") for name in kept.files if name.endswith("/name")]:
                name = kept[f"{key}/name"].tobytes().decode()
                array = kept[f"{key}/array"] if f"{key}/array" in kept.files else _text(kept, key)
                groups.setdefault(key.partition("/")[0], {})[name] = array
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InvalidModel("The answers of the native model cannot be read.") from error
    return groups


def _text(kept: Mapping[str, Array], key: str) -> Array:
    sizes, data = kept[f"{key}/sizes"], kept[f"{key}/text"].tobytes()
    values: list[str | None] = []
    at = 0
    for size in sizes.ravel().tolist():
        values.append(None if size < 0 else data[at : at + size].decode("utf-8", "replace"))
        at += max(size, 0)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(sizes.shape)
