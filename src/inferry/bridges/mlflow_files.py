"""The files of a version, fetched from the artifact proxy, whatever it lists.

Data flow: a folder's listing, walked -> names that stay inside, counted and sized -> files below `into`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from inferry.bridges.mlflow_rest import Listed, Registry, shown
from inferry.errors import InvalidModel, StorageFull, TooLarge

MAX_FILES = 10_000
MAX_DEPTH = 16
MAX_NAME = 255
MAX_SIZE = 16 << 30


def fetch_files(registry: Registry, folder: str, into: Path, most: int = MAX_SIZE) -> int:
    """Everything in a folder of the proxy, below the empty folder `into`; its size.

    Raises InvalidModel for names that lead elsewhere, TooLarge, StorageFull.
    """
    files = list(walk(registry, folder))
    told = sum(size for _, size in files if size is not None)
    if told > most:
        raise TooLarge(f"The version's files have {told} bytes.", help=f"At most {most} are fetched.")
    if not files:
        raise InvalidModel("The version has no files.", help="Log the model anew.")
    total = 0
    try:
        for name, size in files:
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            left = most - total
            total += registry.fetch(f"{folder}/{name}", target, left if size is None else min(left, size))
    except FileExistsError as error:
        raise InvalidModel(f"The server lists {name!a} twice.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("The disk is full; the version was not fetched.", help="Free space.") from error
        raise
    return total


def walk(registry: Registry, folder: str) -> Iterator[tuple[str, int | None]]:
    """Every file's name, relative to the folder, and its size as far as it is told."""
    open_folders, seen = [""], 0
    while open_folders:
        inside = open_folders.pop()
        for entry in registry.listing(f"{folder}/{inside}".rstrip("/")):
            seen += 1
            if seen > MAX_FILES:
                raise TooLarge(f"The version has more than {MAX_FILES} files and folders.")
            name = f"{inside}/{checked(entry)}".lstrip("/")
            if not entry.is_dir:
                yield name, _size(entry)
            elif name.count("/") >= MAX_DEPTH:
                raise TooLarge(f"The version's folders are more than {MAX_DEPTH} deep.")
            else:
                open_folders.append(name)


def checked(entry: Listed) -> str:
    """The name of one file or folder. Raises InvalidModel for what is more, or less, than that."""
    name = entry.path
    bad = name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable()
    if bad or len(name.encode("utf-8", "replace")) > MAX_NAME:
        raise InvalidModel(
            f"The server lists a file with the unsafe name {shown(name)[:60]!a}.", help="Nothing was fetched."
        )
    return name


def _size(entry: Listed) -> int | None:
    """MLflow writes it as a number or as text."""
    try:
        size = None if entry.file_size is None else int(entry.file_size)
    except ValueError:
        return None
    if size is not None and size < 0:
        raise InvalidModel(f"The server says that {entry.path[:60]!a} has {size} bytes.")
    return size
