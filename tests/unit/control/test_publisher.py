"""The publisher: what it leaves in the run directory."""

from __future__ import annotations

import asyncio

import msgspec

from inferry.control.line import Told
from inferry.control.publisher import Publisher
from inferry.errors import Superseded
from inferry.types.routing import EndpointRoute, RoutingTable


class Permit:
    """Of a leader that cannot renew its lease in time now and then. `doubts`: how often in a row."""

    epoch = 3
    doubts = 0

    def check(self):
        if self.doubts:
            self.doubts -= 1
            raise Superseded("This control process cannot be sure that it still leads.", retry_after=1.0)

    def superseded(self, epoch):
        raise AssertionError(epoch)


async def test_a_leader_that_was_not_sure_of_its_lease_saves_the_table_when_it_is(tmp_path):
    permit, saved = Permit(), tmp_path / "table.json"
    publisher = Publisher([tmp_path / "none.sock"], saved, Told(stuck=print, loads=print, ears=None), permit)
    await publisher.publish(RoutingTable(endpoints={"fraud": EndpointRoute(name="fraud", model="fraud", revisions=())}))
    permit.doubts = 1
    publisher.start()
    async with asyncio.timeout(60):
        while not saved.exists():
            await asyncio.sleep(0.05)
    for task in publisher._tasks:
        task.cancel()
    assert list(msgspec.json.decode(saved.read_bytes(), type=RoutingTable).endpoints) == ["fraud"]
