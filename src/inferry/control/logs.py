"""Logs of replicas: files that only grow are cut now and then, so that they never fill the disk.

The writers append to whatever is there, so a file can be emptied under them; what was in it is
kept once, as NAME.log.1.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

LIMIT = 16 << 20
LOOK_S = 30.0


async def keep_short(folder: Path) -> None:
    """For ever."""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            await asyncio.to_thread(cut, folder, LIMIT)
        except OSError as error:
            log.warning("a log could not be cut: %s", error.strerror)


def cut(folder: Path, limit: int) -> list[str]:
    """Empty each log over `limit` bytes, keeping a copy of its last `limit` bytes. Returns their names."""
    long = [path for path in folder.iterdir() if path.suffix in {".log", ".out"} and path.stat().st_size > limit]
    for path in long:
        kept = path.with_name(path.name + ".1")
        with path.open("rb") as whole, kept.open("wb") as copy:
            whole.seek(-limit, 2)
            shutil.copyfileobj(whole, copy)
        with path.open("r+b") as whole:
            whole.truncate(0)
    return [path.name for path in long]
