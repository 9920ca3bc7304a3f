"""A gateway's core without connections: clients that ask it straight, and what it says about replicas."""

import asyncio
import json

from inferry.gateway.core import Core
from inferry.gateway.head import Head
from inferry.security.keys import KeyRing
from inferry.telemetry.metrics import Metrics
from inferry.types import frames
from tests.support.fake_replica import PEPPER, FakeReplica, make_key, table

WAIT_S = 10
KEY, BEARER = make_key()


class Asker:
    """One waiting client: `outcome` is (status, who answered or the error's code)."""

    def __init__(self):
        self.done = asyncio.get_running_loop().create_future()
        self.revision = None
        self.parts = []

    def answer(self, head, revision, reply):
        self.revision = revision.plan.number
        self.waited_ms, self.headers = revision.cold_ms, revision.headers
        self.done.set_result((reply.status, json.loads(reply.body)["by"]))

    def part(self, head, revision, reply):
        self.parts.append(json.loads(reply.body))

    def refuse(self, head, error):
        self.error = error
        self.done.set_result((error.status, error.code))

    async def outcome(self):
        return await asyncio.wait_for(self.done, WAIT_S)


class World:
    """A core with what it says about silent replicas."""

    def __init__(self, folder):
        self.folder = folder
        self.stuck = []
        self.metrics = Metrics()
        loop = asyncio.get_running_loop()
        self.core = Core(loop, lambda t: KeyRing(t.keys, PEPPER), self.metrics, self.stuck.append)
        self.replicas = []

    async def replica(self, name, **options):
        made = await FakeReplica(str(self.folder / f"{name}.sock"), name, **options).start()
        self.replicas.append(made)
        return made

    def unborn(self, name, **options):
        made = FakeReplica(str(self.folder / f"{name}.sock"), name, **options)
        self.replicas.append(made)
        return made

    def apply(self, *keys, splits=None, **endpoints):
        """`splits`: by endpoint, fields of its Split."""
        self.core.apply(table(*(keys or (KEY,)), splits=splits, **endpoints))

    def submit(self, endpoint=b"iris", version=b"", timeout=0.0, bearer=BEARER, body=b"{}", flags=0, **fields):
        """`fields`: more of the head."""
        head, asker = Head(), Asker()
        head.flags = flags
        for name, value in fields.items():
            setattr(head, name, value)
        head.door, head.endpoint, head.version = frames.DOOR_PLAIN, endpoint, version
        head.authorization, head.timeout = bearer, timeout
        asker.pending = self.core.submit(asker, head, body)
        return asker

    async def ready(self):
        """All links of the table are up."""
        async with asyncio.timeout(WAIT_S):
            while not all(link.ready for link in self.core.links.values()):
                await asyncio.sleep(0)

    async def close(self):
        self.apply()
        for replica in self.replicas:
            if replica._task is not None and not replica._task.done():
                await replica.die()
        for task in list(self.core._tasks):
            task.cancel()
        await asyncio.gather(*self.core._tasks, return_exceptions=True)
