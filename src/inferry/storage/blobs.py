"""DirectoryBlobs: bundles as directories named by their digest.

Data flow: a staged directory on the same file system -> every file forced to disk -> one
rename -> `root/<digest>`. A name is there whole or not at all, also after a power cut:
deleting renames first as well, and what an interrupted call leaves behind is swept.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from pathlib import Path

from inferry.errors import InvalidName, NotFound
from inferry.storage.faults import translated

_DIGEST = re.compile(r"[0-9a-f]{64}")


class DirectoryBlobs:
    """A BlobStore in one private directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def adopt(self, staged: Path, digest: str) -> Path:
        """Take over a staged directory under its digest; when that is there already, keep it and drop `staged`."""
        target = self._root / checked(digest)
        if target.is_dir():
            shutil.rmtree(staged)
            return target
        with translated():
            _force_to_disk(staged)
            try:
                staged.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                shutil.rmtree(staged)  # another call was first
            _force(self._root)
        return target

    def find(self, digest: str) -> Path | None:
        """Where a bundle lies, None when it does not."""
        target = self._root / checked(digest)
        return target if target.is_dir() else None

    def path(self, digest: str) -> Path:
        """Where a bundle lies."""
        found = self.find(digest)
        if found is None:
            raise NotFound(f"The bundle {digest[:12]} is not on this machine.")
        return found

    def digests(self) -> set[str]:
        """All bundles that are there."""
        return {entry.name for entry in self._root.iterdir() if _DIGEST.fullmatch(entry.name)}

    def delete(self, digest: str) -> None:
        """Remove a bundle; nothing happens when it is not there."""
        target = self._root / checked(digest)
        doomed = self._root / f".deleted-{uuid.uuid4().hex}"
        try:
            target.rename(doomed)
        except FileNotFoundError:
            return
        _force(self._root)
        shutil.rmtree(doomed)

    def sweep(self) -> int:
        """Remove what interrupted calls left behind; how many entries. For the one owner, at its start."""
        leftovers = [entry for entry in self._root.iterdir() if not _DIGEST.fullmatch(entry.name)]
        for entry in leftovers:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        return len(leftovers)


def checked(digest: str) -> str:
    """The digest, if it is one. Raises InvalidName."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidName(f"{digest[:70]!a} is not a sha256 digest.", help="Use 64 lower-case hex digits.")
    return digest


def _force_to_disk(folder: Path) -> None:
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(parent, name)
            if not path.is_symlink():
                _force(path)
        _force(Path(parent))


def _force(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
