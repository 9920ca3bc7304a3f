"""Jobs process: the queue's tables, the bodies beside them, and the attempts. Wiring only.

Control makes the database and the key; until both are there, this process waits.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from inferry.compose.process import announce, on_lifeline, run
from inferry.compose.settings import JobsSettings, Layout
from inferry.errors import InferryError
from inferry.jobs.desk import Desk
from inferry.jobs.door import Door
from inferry.jobs.ledger import Ledger
from inferry.jobs.runner import Runner
from inferry.jobs.scribe import Scribe
from inferry.jobs.sender import Sender
from inferry.policy.jobs import Limits
from inferry.security.files import read_private
from inferry.storage.job_bodies import JobBodies
from inferry.storage.jobs import SqlJobs, open_jobs
from inferry.storage.schema import at_head
from inferry.types.jobs import INLINE

RETRY_S = 0.1


async def opened(layout: Layout, url: str) -> SqlJobs:
    """The queue, as soon as control has made what it stands on."""
    target = url or f"sqlite:///{layout.database}"
    while True:
        try:
            if layout.jobs_key.exists() and await asyncio.to_thread(at_head, target):
                return await asyncio.to_thread(open_jobs, target)
        except InferryError as error:
            if error.status != 503:
                raise
        await asyncio.sleep(RETRY_S)


async def swept(store: SqlJobs, bodies: JobBodies) -> None:
    """Forget bodies that no job has: of a request that was never acknowledged, or of a job that is gone."""
    there = bodies.ids()
    known = await asyncio.to_thread(store.known, sorted(there))
    for id in there:
        if id not in known or max(known[id].size, known[id].answer_size) <= INLINE:
            bodies.drop(id)


async def serve(settings: JobsSettings) -> None:
    """Until a signal, or until the supervisor is gone. What is under way then is begun again by the next process."""
    loop = asyncio.get_running_loop()
    on_lifeline(loop, settings.lifeline, lambda: os._exit(0))
    layout = Layout(Path(settings.home), Path(settings.run))
    with os.fdopen(settings.database, encoding="utf-8") as handed:
        url = handed.read()
    store = await opened(layout, url)
    bodies = JobBodies(layout.jobs)
    await swept(store, bodies)
    sender = Sender(settings.http, read_private(layout.jobs_key).decode().strip())
    scribe = Scribe(store)
    ledger = Ledger(Limits(jobs=settings.most_jobs, bytes=settings.most_bytes), await asyncio.to_thread(store.usage))
    runner = Runner(scribe, bodies, ledger, sender.send, time.time)
    desk = Desk(store, bodies, scribe, ledger, runner.wake, runner.abort, time.time)
    writing = asyncio.create_task(scribe.run())
    await runner.start(await asyncio.to_thread(store.endpoints))
    door = Door(layout.jobs_socket, desk)
    await door.start()
    announce(settings.ready)
    await asyncio.gather(writing, runner.run())


if __name__ == "__main__":
    run("jobs", JobsSettings, serve)
