"""A file or folder as a tar stream, built while it is sent.

Data flow: path -> entries (checked and sized before anything is sent) -> tar bytes. The same
files give the same bytes on every machine: names are sorted, times, owners and modes fixed.
Left out: dot files, `.git` and `.venv` among them, and `__pycache__`.
"""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from inferry.errors import Conflict, InvalidInput, InvalidModel

_BLOCK = 512
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file: its name in the archive, where it is, and its size."""

    name: str
    path: Path
    size: int


def collect(path: Path, under: str) -> list[Entry]:
    """The entries of a file or folder, named `under/...`."""
    real = path.expanduser().resolve()
    if real.is_file():
        return [Entry(f"{under}/{real.name}", real, real.stat().st_size)]
    if not real.is_dir():
        raise InvalidInput(f"There is no file or folder {str(path)!r}.", help="Check the path.")
    entries = list(_walk(real, real, under, (real,)))
    if not entries:
        raise InvalidModel(f"The folder {str(path)!r} holds no files.", help="Give the folder with the model in it.")
    return entries


def _walk(folder: Path, root: Path, under: str, above: tuple[Path, ...]) -> Iterator[Entry]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        name = f"{under}/{path.name}"
        real = path.resolve()
        if not real.is_relative_to(root):
            raise InvalidModel(
                f"{str(path.relative_to(root))!r} is a link that leads out of the folder.",
                help="Replace it by what it points at.",
            )
        if not real.exists() or real in above:
            raise InvalidModel(
                f"{str(path.relative_to(root))!r} is a link that leads nowhere.", help="Remove it or mend it."
            )
        if real.is_dir():
            yield from _walk(path, root, name, (*above, real))
        elif stat.S_ISREG(real.stat().st_mode):
            yield Entry(name, real, real.stat().st_size)
        else:
            raise InvalidModel(f"{str(path.relative_to(root))!r} is not a regular file.", help="Remove it.")


def tar(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The archive's bytes, a chunk at a time."""
    for entry in entries:
        head = tarfile.TarInfo(entry.name)
        head.size, head.mode = entry.size, 0o644
        yield head.tobuf(tarfile.PAX_FORMAT)
        yield from _content(entry)
        if entry.size % _BLOCK:
            yield bytes(_BLOCK - entry.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def _content(entry: Entry) -> Iterator[bytes]:
    left = entry.size
    with entry.path.open("rb") as file:
        while left and (chunk := file.read(min(left, _CHUNK))):
            left -= len(chunk)
            yield chunk
        if left or file.read(1):
            raise Conflict(f"{entry.path.name!r} changed while it was sent.", help="Deploy again when it is complete.")
