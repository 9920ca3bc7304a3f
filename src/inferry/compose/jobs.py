"""Jobs process: the queue's tables, the bodies beside them, and the attempts. Wiring only.

Control makes the database and the key; until both are there, this process waits. When there is no job, and nobody has
asked for a while, it ends: the supervisor holds its socket, and starts it anew when somebody does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from pathlib import Path

from inferry.compose.process import announce, on_lifeline, run
from inferry.compose.settings import ASLEEP, JobsSettings, Layout
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
QUIET_S = 20.0
LOOK_S = 5.0

log = logging.getLogger(__name__)


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


async def idle(door: Door, store: SqlJobs) -> None:
    """Return when there is no job, and nobody at the door, which is shut then."""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            if door.quiet_s < QUIET_S or await asyncio.to_thread(store.any):
                continue
            door.shut()
            if door.quiet_s and not await asyncio.to_thread(store.any):  # nobody came in between
                return
        except InferryError as error:
            log.warning("it is not known whether there are jobs: %s", error.sentence())
        door.open()


async def serve(settings: JobsSettings) -> int:
    """Until a signal, until the supervisor is gone, or until there is nothing to do. What is under way when it ends is
    begun again by the next process."""
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
    door = Door(socket.socket(fileno=settings.listener), desk)
    door.open()
    announce(settings.ready)
    running = {writing, asyncio.create_task(runner.run()), asyncio.create_task(idle(door, store))}
    ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        task.result()
    return ASLEEP


if __name__ == "__main__":
    run("jobs", JobsSettings, serve)
