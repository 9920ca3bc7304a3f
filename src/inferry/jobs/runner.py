"""Runner: takes jobs when their endpoint has capacity to spare, sends them, and writes down what came of it.

Data flow: an endpoint with work -> its Lane, which takes as many as its Pace allows -> `send` -> `policy.jobs.judge` ->
the job's end, or its next attempt. What is under way is held by a lease that is renewed; a job that nobody holds any
more is taken back. The tables are written by the one scribe, so that a fence decides whose end counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterable

from inferry.errors import InferryError, NotFound
from inferry.interfaces.jobs import BodyStore
from inferry.jobs.ledger import Ledger
from inferry.jobs.scribe import Scribe, patiently
from inferry.jobs.sender import Reply
from inferry.policy.jobs import MOST_LOSSES, judge
from inferry.policy.spare import Pace, after_answer, after_refusal
from inferry.types.job_orders import Again, End, Purge, Reclaim, Renew, Take, Taken
from inferry.types.jobs import INLINE, REQUEST, Job, Reason

LEASE_S = 15.0
RENEW_S = 4.0
SWEEP_S = 10.0
MOST_AT_ONCE = 64
PAUSE_S = 0.5
EVER = 1e15
REVOKED = Reason(code="key_revoked", message="The key that asked for it was revoked.", status=401)

Send = Callable[[Job, bytes], Awaitable[Reply]]

log = logging.getLogger(__name__)


class Runner:
    """All lanes, and the leases of what is under way."""

    def __init__(
        self, scribe: Scribe, bodies: BodyStore, ledger: Ledger, send: Send, clock: Callable[[], float]
    ) -> None:
        self.scribe = scribe
        self.bodies = bodies
        self.ledger = ledger
        self.send = send
        self.clock = clock
        self.held: dict[str, tuple[Job, asyncio.Task[None]]] = {}
        self._lanes: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self, endpoint: str) -> None:
        """An endpoint has a job that may begin."""
        lane = self._lanes.get(endpoint)
        if lane is None:
            lane = self._lanes[endpoint] = Lane(self, endpoint)
            self._keep(asyncio.create_task(lane.run()))
        lane.wake(self.clock())

    def abort(self, id: str) -> None:
        """A job is not wanted any more."""
        held = self.held.get(id)
        if held is not None:
            held[1].cancel()

    def room(self) -> int:
        """How many more may be under way."""
        return MOST_AT_ONCE - len(self.held)

    def begin(self, lane: Lane, taken: Taken) -> None:
        """Send jobs that were taken."""
        for job in taken.jobs:
            revoked = job.id in taken.revoked
            task = asyncio.create_task(self._attempt(lane, job, taken.bodies.get(job.id), revoked=revoked))
            self.held[job.id] = (job, task)
            self._keep(task)

    async def start(self, endpoints: Iterable[str]) -> None:
        """Take back what was under way when the process before this one ended, and begin with what waits."""
        await self._sweep(EVER)
        for endpoint in endpoints:
            self.wake(endpoint)

    async def run(self) -> None:
        """Renew leases, take back what nobody holds, forget what is old; until cancelled."""
        next_sweep = self.clock() + SWEEP_S
        while True:
            try:
                held = tuple((job.id, job.fence) for job, _ in self.held.values())
                if held:
                    await self.scribe.one(Renew(held=held, lease=self.clock() + LEASE_S))
                if self.clock() >= next_sweep:
                    next_sweep = self.clock() + SWEEP_S
                    await self._sweep(self.clock())
            except InferryError as error:
                log.warning("leases and old jobs wait: %s", error.sentence())
            await asyncio.sleep(RENEW_S)

    async def _sweep(self, before: float) -> None:
        now = self.clock()
        reclaimed: list[Job] = await self.scribe.one(Reclaim(now=before, due=now, most_losses=MOST_LOSSES))
        for job in reclaimed:
            if job.over:
                self.ledger.ended(job)
            else:
                self.wake(job.endpoint)
        gone: list[Job] = await self.scribe.one(Purge(now=now))
        for job in gone:
            self.ledger.forgotten(job)
            if max(job.size, job.answer_size) > INLINE:
                await asyncio.to_thread(self.bodies.drop, job.id)

    async def _attempt(self, lane: Lane, job: Job, body: bytes | None, *, revoked: bool) -> None:
        try:
            if revoked:
                await self._end(End(id=job.id, fence=job.fence, now=self.clock(), state="dead", reason=REVOKED))
                return
            if body is None:
                try:
                    body = await asyncio.to_thread(self.bodies.get, f"{job.id}.{REQUEST}")
                except NotFound as error:
                    lost = Reason(code="body_lost", message=error.message)
                    await self._end(End(id=job.id, fence=job.fence, now=self.clock(), state="dead", reason=lost))
                    return
            reply = await self.send(job, body)
            lane.learn(reply)
            await self._settle(job, reply)
        except Exception:
            log.exception("job %s: the attempt broke; it is begun again when its lease is over", job.id)
        finally:
            self.held.pop(job.id, None)
            lane.left()
            for other in self._lanes.values():
                other.look()

    async def _settle(self, job: Job, reply: Reply) -> None:
        """Write down what an answer means for its job."""
        now = self.clock()
        verdict = judge(
            reply.status, reply.code, reply.retry_after, job.failures, job.attempts, job.losses, now - job.created,
            random.random(),  # noqa: S311 - spreads attempts
        )  # fmt: skip
        reason = Reason(code=reply.code, message=reply.message, status=reply.status)
        if verdict.end == "succeeded":
            await self._keep_answer(job, reply)
        elif verdict.end == "dead":
            await self._end(End(id=job.id, fence=job.fence, now=now, state="dead", status=reply.status, reason=reason))
        else:
            again = Again(
                id=job.id, fence=job.fence, due=now + verdict.wait_s, reason=reason, failed=verdict.failed,
                lost=verdict.lost,
            )  # fmt: skip
            if await patiently(self.scribe, again) is not None:
                self._lanes[job.endpoint].wake(again.due)

    async def _keep_answer(self, job: Job, reply: Reply) -> None:
        size = len(reply.body)
        while size > INLINE:
            try:
                await asyncio.to_thread(self.bodies.put, f"{job.id}.{job.fence}", reply.body)
                break
            except InferryError as error:
                log.warning("job %s: its answer waits for room: %s", job.id, error.message)
                await asyncio.sleep(PAUSE_S)
        end = End(
            id=job.id, fence=job.fence, now=self.clock(), state="succeeded", status=reply.status,
            answer=reply.headers, answer_size=size, body=reply.body if size <= INLINE else None,
        )  # fmt: skip
        if await self._end(end) and job.size > INLINE:
            await asyncio.to_thread(self.bodies.discard, f"{job.id}.{REQUEST}")

    async def _end(self, end: End) -> bool:
        ended: Job | None = await patiently(self.scribe, end)
        if ended is not None:
            self.ledger.ended(ended)
        return ended is not None

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Lane:
    """The jobs of one endpoint. `due`: when the next may begin, None for none that is known of."""

    def __init__(self, runner: Runner, endpoint: str) -> None:
        self._runner = runner
        self._endpoint = endpoint
        self._due: float | None = None
        self._pace = Pace()
        self._until = 0.0  # a pause
        self._inflight = 0
        self._changed = asyncio.Event()

    def wake(self, due: float) -> None:
        """There is a job that may begin at a time."""
        self._due = due if self._due is None else min(self._due, due)
        self._changed.set()

    def look(self) -> None:
        """There may be room now."""
        self._changed.set()

    def left(self) -> None:
        """A job is not under way any more."""
        self._inflight -= 1
        self._changed.set()

    def learn(self, reply: Reply) -> None:
        """What an answer says about the load."""
        if reply.status == 429:
            self._pace = after_refusal(self._pace, reply.retry_after)
        elif reply.total_s:
            self._pace = after_answer(self._pace, reply.total_s, reply.computed_s, MOST_AT_ONCE)
        self._until = max(self._until, self._runner.clock() + self._pace.pause_s)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            now = self._runner.clock()
            room = min(int(self._pace.window) - self._inflight, self._runner.room())
            wait = None if self._due is None or room < 1 else max(self._due, self._until) - now
            if wait is None or wait > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), wait)
                continue
            self._due = None
            take = Take(endpoint=self._endpoint, most=room, now=now, lease=now + LEASE_S)
            self._inflight += room
            try:
                taken: Taken = await self._runner.scribe.one(take)
            except InferryError as error:
                log.warning("jobs of %s wait: %s", self._endpoint, error.sentence())
                self._inflight -= room
                self.wake(now + PAUSE_S)
                continue
            self._inflight -= room - len(taken.jobs)
            if taken.due is not None:
                self.wake(taken.due)
            self._runner.begin(self, taken)
