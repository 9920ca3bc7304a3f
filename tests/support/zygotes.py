"""The processes that fork replicas, as a test sees them from outside."""

from __future__ import annotations

from pathlib import Path

from tests.support import processes
from tests.support.platform import Platform


def zygote_threads(platform: Platform, runtime: str) -> int:
    """How many threads the zygote of a runtime has: more than one would make its forks unsafe."""
    (socket,) = platform.sockets.glob(f"z-*-{runtime}.sock")
    (pid,) = processes.unix_listeners(platform.sockets)[str(socket)]
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
