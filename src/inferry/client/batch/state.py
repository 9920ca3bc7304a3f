"""What is known of a file that is being scored: which rows are done, in which parts.

Data flow: the folder `.NAME.parts` beside the output -> its manifest, read when the same command comes again -> one
more part, the manifest replaced. A part that the manifest does not name was never finished, and is written again.
"""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import IO

import msgspec

from inferry.client.batch.columns import Column
from inferry.client.batch.sink import force, room
from inferry.errors import Conflict
from inferry.types.decoding import decoder


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """By what a file is known again."""

    name: str
    size: int
    modified: int


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are done."""

    rows: int
    errors: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A file's state. `whole`: all its rows are in parts; `versions`: of the model, as they answered."""

    endpoint: str
    input: Input
    columns: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    whole: bool = False
    versions: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows are done."""
        return sum(part.rows for part in self.parts)

    @property
    def errors(self) -> int:
        """How many of them have an error."""
        return sum(part.errors for part in self.parts)


class State:
    """One output's folder of parts; held by one process at a time."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target.with_name(f".{target.name}.parts")
        self.done = target.with_name(f".{target.name}.manifest.json")
        self._doomed = target.with_name(f".{target.name}.deleted")
        self._manifest = self.folder / "manifest.json"
        self._lock: IO[bytes] | None = None

    def finished(self, wanted: Manifest) -> Manifest | None:
        """The manifest of an output that is there already, made of this input."""
        if self.folder.exists() or not self.target.exists() or not self.done.exists():
            return None
        self._sweep()
        found = _read(self.done)
        return found if found is not None and alike(found, wanted) else None

    def open(self, wanted: Manifest, *, overwrite: bool) -> Manifest:
        """Go on where an earlier run ended, or begin. Raises Conflict when that was something else."""
        if self.target.exists() and not self.folder.exists() and not overwrite:
            raise Conflict(f"{str(self.target)!r} is there already.", help="Choose another output, or say --overwrite.")
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._lock = (self.folder / "lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"{str(self.target)!r} is being written by another process.", help="Wait for it.") from error
        found = None if overwrite else _read(self._manifest)
        if found is None:
            self.keep(wanted)
            return wanted
        if not alike(found, wanted):
            raise Conflict(
                f"Parts of another input, endpoint or form of answers lie beside {str(self.target)!r}.",
                help="Run the command that began them again, or say --overwrite to begin anew.",
            )
        return found

    def part(self, number: int) -> Path:
        """Where a part lies."""
        return self.folder / f"part-{number:06d}{self.target.suffix.lower()}"

    def keep(self, manifest: Manifest) -> None:
        """Replace the manifest."""
        _write(self._manifest, manifest)

    def close(self, manifest: Manifest | None) -> None:
        """Let go of it; with a manifest: the output is whole, and the parts go."""
        if manifest is not None:
            _write(self.done, manifest)
            self._sweep()
            self.folder.rename(self._doomed)  # all at once: a folder that lacks some parts is none to go on with
            self._sweep()
        if self._lock is not None:
            self._lock.close()

    def _sweep(self) -> None:
        """Remove the parts of an output that is whole, also those that an ended process left half removed."""
        shutil.rmtree(self._doomed, ignore_errors=True)


def manifest_of(endpoint: str, source: Path, columns: tuple[Column, ...]) -> Manifest:
    """What a run that begins now knows."""
    about = source.stat()
    known = Input(name=source.name, size=about.st_size, modified=about.st_mtime_ns)
    return Manifest(endpoint=endpoint, input=known, columns=tuple(column.name for column in columns))


def alike(found: Manifest, wanted: Manifest) -> bool:
    """Whether one run goes on where the other ended."""
    return (found.endpoint, found.input, found.columns) == (wanted.endpoint, wanted.input, wanted.columns)


def _read(path: Path) -> Manifest | None:
    try:
        return decoder(Manifest).decode(path.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _write(path: Path, manifest: Manifest) -> None:
    fresh = path.with_name(f"{path.name}.new")
    with room():
        fresh.write_bytes(msgspec.json.encode(manifest))
        force(fresh)
        fresh.replace(path)
        force(path.parent)
