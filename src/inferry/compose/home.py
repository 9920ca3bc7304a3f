"""What a supervisor does to a home before it starts anything: locks it, gives it a folder for sockets and a pepper.

Data flow: the home's path -> an open lock; -> a fresh private folder, linked from `home/run`.
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from inferry.errors import Conflict, InvalidInput

MAX_SOCKET_PATH = 60
PEPPER_FILE = "INFERRY_PEPPER_FILE"


def make_run(home: Path) -> Path:
    """A fresh private folder for sockets, in the temporary directory (socket paths must be short)."""
    last = home / "run"
    with contextlib.suppress(OSError):
        shutil.rmtree(Path(last.readlink()), ignore_errors=True)
    base = tempfile.gettempdir()
    run = Path(tempfile.mkdtemp(prefix="inferry-", dir=base if len(base) < MAX_SOCKET_PATH else "/tmp"))  # noqa: S108
    last.unlink(missing_ok=True)
    last.symlink_to(run)
    return run


def first_pepper(path: str) -> bytes:
    """The key of the keys' hashes for a new home: that of a file, if one is named. Raises InvalidInput."""
    if not path:
        return secrets.token_bytes(32)
    try:
        found = Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{PEPPER_FILE} names {path!r}, which cannot be read: {error.strerror}.", help="See that it is there."
        ) from error
    if len(found) < 16:
        raise InvalidInput(
            f"{path!r} is too short for a pepper.", help="Use the file `pepper` of the home that it was."
        )
    return found


def lock(path: Path) -> Any:
    """Hold the home for this process. Raises Conflict when another one has it."""
    file = path.open("a")
    path.chmod(0o600)
    deadline = time.monotonic() + 3.0
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                file.close()
                raise Conflict(
                    f"A platform runs in {path.parent} already.", help="Stop it, or choose another --home."
                ) from error
            time.sleep(0.05)
        else:
            return file
