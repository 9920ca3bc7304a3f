"""Loops: what a process does all the time goes on, whatever goes wrong in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

AGAIN_S = 1.0


async def pause(seconds: float) -> None:
    """Sleep until the loop's clock next shows a multiple of so many seconds, about that long: what looks each second,
    or each few, wakes the process together, and not each by itself."""
    left = seconds - asyncio.get_running_loop().time() % seconds
    await asyncio.sleep(left if left > seconds / 2 else left + seconds)


async def forever(run: Callable[[], Awaitable[None]], again_s: float = AGAIN_S) -> None:
    """Run a loop; when it fails, log that and begin it anew a moment later. A task that nobody awaits would end in
    silence, and what it did would never be done again."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("%s failed and begins anew", getattr(run, "__qualname__", run))
        await asyncio.sleep(again_s)
