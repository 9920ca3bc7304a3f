"""Grown: how much memory a process that lives shortly took, looked at while it lives."""

from __future__ import annotations

import asyncio

from inferry.backends.memory import held_by

WATCH_S = 0.02


class Grown:
    """What a process that lives shortly held, in bytes: when it was last looked at, and at most."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    async def watch(self, pid: int) -> None:
        """Look until this is cancelled."""
        while True:
            held = held_by(pid)
            if held is not None:
                self.now, self.peak = held.private, max(self.peak, held.peak)
            await asyncio.sleep(WATCH_S)
