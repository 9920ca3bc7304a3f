"""Scribe: what is to be written goes into one transaction with all that came meanwhile.

Data flow: an order -> the queue -> one `write` in a thread for all that wait -> what each gave. Forcing a disk is slow
and costs the same for one order as for a hundred.
"""

from __future__ import annotations

import asyncio
from typing import Any

from inferry.errors import InferryError, Unavailable
from inferry.interfaces.jobs import JobStore
from inferry.types.job_orders import Order

MOST = 256


class Scribe:
    """The one writer. Orders of one call to `write` stay together and in their order."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._waiting: list[tuple[tuple[Order, ...], asyncio.Future[list[Any]]]] = []
        self._come = asyncio.Event()

    async def write(self, *orders: Order) -> list[Any]:
        """What each order gave, or the error that refuses it. Raises what failed them all."""
        done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((orders, done))
        self._come.set()
        return await asyncio.shield(done)

    async def one(self, order: Order) -> Any:
        """What one order gave. Raises what refuses it."""
        (given,) = await self.write(order)
        if isinstance(given, InferryError):
            raise given
        return given

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._come.wait()
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            if not self._waiting:
                self._come.clear()
            try:
                given = await asyncio.to_thread(self._store.write, [order for orders, _ in batch for order in orders])
            except Exception as error:  # noqa: BLE001 - it is theirs who asked
                self._fail(batch, error)
                continue
            at = 0
            for orders, done in batch:
                done.set_result(given[at : at + len(orders)])
                at += len(orders)

    @staticmethod
    def _fail(batch: list[tuple[tuple[Order, ...], asyncio.Future[list[Any]]]], error: Exception) -> None:
        for _, done in batch:
            done.set_exception(error)
            done.exception()  # whoever asked may have left


async def patiently(scribe: Scribe, order: Order, pause_s: float = 0.5) -> Any:
    """What an order gave, as soon as the database takes it: a full disk or a server that is away lose no result."""
    while True:
        try:
            return await scribe.one(order)
        except Unavailable:
            await asyncio.sleep(pause_s)
        except InferryError as error:
            if error.code != "storage_full":
                raise
            await asyncio.sleep(pause_s)
