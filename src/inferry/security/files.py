"""Private files: folders only their owner may enter, files only their owner may read.

Data flow: bytes -> `write_private` (temporary file in the same folder, 0600, fsync, rename,
fsync of the folder) -> `read_private`, which refuses a file that somebody else owns or that
group or others may read, and says how to mend it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from pathlib import Path

from inferry.errors import NotFound, StorageFull, UnsafeFile

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def private_dir(path: Path) -> Path:
    """Make the folder, or tighten one of ours, to mode 0700. Raises UnsafeFile when it is another user's."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
        _check_owner(path, found)
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
    except (FileExistsError, NotADirectoryError) as error:
        raise UnsafeFile(
            f"{path} is a file where a folder is needed.", help="Move it away, or choose another folder."
        ) from error
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StorageFull("The disk is full.", help="Free some space and try again.") from error
        reason = errno.errorcode.get(error.errno or 0, "unknown")
        raise UnsafeFile(
            f"The folder {path} cannot be made or used ({reason}).", help="Choose one that you may write to."
        ) from error
    return path


def write_private(path: Path, data: bytes) -> None:
    """Replace the file's content, atomically and durably, with mode 0600."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StorageFull("The disk is full.", help="Free some space and try again.") from error
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def read_private(path: Path) -> bytes:
    """The file's content. Raises NotFound, or UnsafeFile when others could read or replace it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeFile(f"{path} is a symbolic link.", help="Put the file itself there.") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        _check_owner(path, found)
        if sys.platform != "win32" and stat.S_IMODE(found.st_mode) & 0o077:
            raise UnsafeFile(f"Other users can read {path}.", help=f"Run: chmod 600 {path}")
        return file.read()


def _check_owner(path: Path, found: os.stat_result) -> None:
    if sys.platform != "win32" and found.st_uid != os.geteuid():
        raise UnsafeFile(f"{path} belongs to another user.", help="Run as its owner, or use another folder.")


def _sync_folder(path: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
