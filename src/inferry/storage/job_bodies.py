"""Bodies of jobs that are too large for rows: one private file each, whole or not at all.

Data flow: bytes -> a file of another name -> forced to disk -> renamed to `root/<job>.<part>`.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from inferry.errors import NotFound
from inferry.storage.faults import translated

_NAME = re.compile(r"([0-9a-f]{32})\.[a-z0-9-]{1,32}")


class JobBodies:
    """interfaces.jobs.BodyStore in one private directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, name: str, body: bytes) -> None:
        """Keep it."""
        target, fresh = self._root / name, self._root / f"{name}.new"
        with translated():
            try:
                with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                fresh.replace(target)
            except BaseException:
                with contextlib.suppress(OSError):
                    fresh.unlink(missing_ok=True)
                raise
            folder = os.open(self._root, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def get(self, name: str) -> bytes:
        """A whole body."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError as error:
            raise NotFound("The job's body is not there any more.", help="Send the request again.") from error

    def discard(self, name: str) -> None:
        """Forget one body."""
        (self._root / name).unlink(missing_ok=True)

    def drop(self, id: str) -> None:
        """Forget all bodies of a job."""
        for path in self._root.glob(f"{id}.*"):
            path.unlink(missing_ok=True)

    def ids(self) -> set[str]:
        """Jobs that have bodies here; what was never whole is removed on the way."""
        found = set()
        for path in self._root.iterdir():
            match = _NAME.fullmatch(path.name)
            if match is None:
                path.unlink(missing_ok=True)
            else:
                found.add(match[1])
        return found
