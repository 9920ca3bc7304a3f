"""Fleet: the replicas that run, as control knows them.

Data flow: a spec -> backend starts it -> it answers the model's own example -> it joins the
fleet; its death or silence -> `changed`, which wakes the reconciler.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Hashable
from typing import NamedTuple

import msgspec

from inferry.control.room import Room
from inferry.errors import InferryError, InvalidModel, NoRoom, Unavailable
from inferry.interfaces.backend import Backend, Replica
from inferry.policy import devices
from inferry.policy.replicas import Failures, Running
from inferry.types import frames
from inferry.types.devices import Devices
from inferry.types.registry import RevisionConfig, Version
from inferry.types.replicas import ReplicaSpec

log = logging.getLogger(__name__)

PROOF_S = 60.0
STUCK_GRACE_S = 2.0
HEALTHY_S = 10.0
LOOK_S = 0.005
STARTS = 9
"""So many are remembered of a group."""


class End(NamedTuple):
    """The end of a replica that nobody asked for: when (Unix seconds), and why."""

    at: float
    why: str


class Fleet:
    """Starts, watches and stops replicas. `find`: what the machine has to compute on, asked for each start; `room`:
    the memory for them."""

    def __init__(self, backend: Backend, find: Callable[[], Devices], room: Room) -> None:
        self.backend = backend
        self.find = find
        self.room = room
        room.cost_s = self.cold_start_s
        self.replicas: dict[str, Replica] = {}
        self.suspect: set[str] = set()
        self.worn: dict[str, str] = {}  # replicas that another one shall replace, and why
        self.starting: Counter[Hashable] = Counter()
        self.failures: dict[Hashable, Failures] = {}
        self.problems: dict[Hashable, str] = {}
        self.deaths: Counter[Hashable] = Counter()  # of replicas that had loaded, since control began
        self.ends: dict[Hashable, End] = {}  # of each group the last that was not wanted
        self.starts: dict[Hashable, deque[float]] = {}  # how long each took, in seconds
        self.changed = asyncio.Event()
        self.touched: set[Hashable] = set()  # the groups of which something changed
        self.on_end: Callable[[ReplicaSpec, str], None] = lambda _spec, _why: None
        self._groups: dict[Hashable, dict[str, Replica]] = {}
        self._born: dict[str, float] = {}
        self._begun: dict[str, ReplicaSpec] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def adopt(self) -> None:
        """Take over what an earlier control process left running."""
        for replica in await self.backend.adopt():
            self._join(replica, replica.status.load_ms / 1000)

    def running(self) -> list[Running]:
        """For `policy.replicas`: of a group those first that make room."""
        return [
            Running(id, group, id not in self.suspect and id not in self.worn)
            for group, known in self._groups.items()
            for id in sorted(known, key=self.room.is_leaving, reverse=True)
        ]

    def of(self, group: Hashable) -> list[Replica]:
        """The usable replicas of a group."""
        return [r for id, r in self._groups.get(group, {}).items() if id not in self.suspect]

    def touch(self, group: Hashable) -> None:
        """Something about a group changed: have it looked at."""
        self.touched.add(group)
        self.changed.set()

    def bundles(self) -> set[str]:
        """The bundles that replicas run from, or are being started from. From any thread."""
        specs = [replica.spec for replica in list(self.replicas.values())] + list(self._begun.values())
        return {spec.bundle for spec in specs}

    def cold_start_s(self, group: Hashable) -> float:
        """How long a replica of a group takes to start: the median of late (0: none has)."""
        known = sorted(self.starts.get(group, ()))
        return known[len(known) // 2] if known else 0.0

    async def start(self, version: Version, label: str, config: RevisionConfig, *, proven: bool = False) -> Replica:
        """Start one replica, prove that it answers unless that is `proven`, and take it in."""
        spec = ReplicaSpec(
            id=secrets.token_hex(6),
            label=label,
            bundle=version.bundle,
            environment=version.manifest.environment.digest,
            runtime=version.runtime,
            config=config,
        )
        self.starting[spec.group] += 1
        try:
            await self.backend.prepare(spec.environment, spec.runtime)
            await self.room.reserve(spec, version, config)
            begun = time.monotonic()
            spec = await self._placed(spec)
            replica = await self.backend.start(spec)
            took = time.monotonic() - begun
            try:
                if not proven:
                    await prove(replica, version, config)
            except BaseException:
                replica.kill()
                raise
            self._join(replica, took)
        except NoRoom as error:  # not its fault
            self.problems[spec.group] = error.message
            self.touch(spec.group)
            raise
        except InferryError as error:
            self._failed(spec.group, error.message)
            raise
        except OSError as error:  # a full disk, no more processes, a zygote that does not fork in time
            why = f"A replica could not be started: {error.strerror or 'it took too long'}."
            self._failed(spec.group, why)
            raise Unavailable(why, help="See `inferry doctor` and logs/control.log.") from error
        finally:
            self.starting[spec.group] -= 1
            self._begun.pop(spec.id, None)
            self.room.release(spec.id)
        return replica

    async def _placed(self, spec: ReplicaSpec) -> ReplicaSpec:
        """The copy with its device; its share of a GPU is held from now on."""
        found = await asyncio.to_thread(self.find)
        device, gpus = self.placement(spec.config, spec.runtime, found)
        self._begun[spec.id] = spec = msgspec.structs.replace(spec, device=device, gpus=gpus)
        return spec

    def placement(self, config: RevisionConfig, runtime: str, found: Devices) -> tuple[str, tuple[str, ...]]:
        """Where a replica would compute now: a kind of device, and the GPUs. Raises Conflict."""
        device = devices.choose(config.device, config.gpus, runtime, found)
        if device != "cuda" or found.elsewhere:
            return device, ()
        held: dict[str, float] = {}
        for spec in (*(replica.spec for replica in self.replicas.values()), *self._begun.values()):
            for id in spec.gpus:
                held[id] = held.get(id, 0.0) + min(1.0, spec.config.gpus)
        return device, devices.place(config.gpus, config.gpu_memory_mb, found.gpus, held)

    def start_soon(self, version: Version, label: str, config: RevisionConfig, *, proven: bool = False) -> None:
        """Start one replica in the background; a failure is counted and logged."""

        async def run() -> None:
            try:
                await self.start(version, label, config, proven=proven)
            except InferryError as error:
                log.warning("a replica of %s did not start: %s", label, error.sentence())

        self._spawn(run())

    async def there(self, group: Hashable, limit: float) -> None:
        """Return when a group has a usable replica. Raises Unavailable."""
        deadline = time.monotonic() + limit
        while not self.of(group):
            if time.monotonic() > deadline:
                why = self.problems.get(group, f"It takes longer than {limit:g} s.")
                raise Unavailable(f"No replica has started. {why}", help="See inferry logs NAME.", retry_after=1.0)
            await asyncio.sleep(LOOK_S)

    def prepare_soon(self, version: Version) -> None:
        """Have ready what makes the start of a replica quick; a failure shows when one is started."""

        async def run() -> None:
            try:
                await self.backend.prepare(version.manifest.environment.digest, version.runtime)
            except (InferryError, OSError) as error:
                log.warning("starts of %s cannot be prepared: %s", version.reference, error)

        self._spawn(run())

    async def stop(self, id: str) -> None:
        """Let a replica finish and exit."""
        replica = self.replicas.get(id)
        if replica is not None:
            if id in self.suspect:
                replica.kill()
                self.suspect.discard(id)
            else:
                await replica.stop()
            self._drop(id)  # not before: who may not act now still knows of it

    def wear(self, id: str, why: str) -> None:
        """Have a replica replaced; it goes on until the other one is there."""
        replica = self.replicas.get(id)
        if replica is not None:
            log.warning("replica %s of %s is replaced: %s", id, replica.spec.label, why)
            self.worn[id] = why
            self.ends[replica.spec.group] = End(time.time(), f"replaced: {why}")
            self.touch(replica.spec.group)

    def stuck(self, id: str) -> None:
        """The gateway waited for a replica in vain: replace it, and end it unless it speaks soon."""
        if id in self.replicas and id not in self.suspect:
            self.suspect.add(id)
            self.touch(self.replicas[id].spec.group)
            self._spawn(self._recheck(id))

    async def _recheck(self, id: str) -> None:
        replica = self.replicas.get(id)
        if replica is None:
            return
        if await replica.alive(STUCK_GRACE_S):
            self.suspect.discard(id)
            self.touch(replica.spec.group)
        else:
            log.warning("replica %s of %s does not answer: killed", id, replica.spec.label)
            replica.kill()

    def _join(self, replica: Replica, took_s: float) -> None:
        id, group = replica.spec.id, replica.spec.group
        self.starts.setdefault(group, deque(maxlen=STARTS)).append(took_s)
        self.replicas[id] = self._groups.setdefault(group, {})[id] = replica
        self._born[id] = time.monotonic()
        self.problems.pop(group, None)
        self.room.joined(replica)
        replica.gone.add_done_callback(lambda gone: self._on_gone(replica, gone))
        self.touch(group)

    def _drop(self, id: str) -> Replica | None:
        """Count a replica no longer."""
        replica = self.replicas.pop(id, None)
        if replica is not None:
            self.worn.pop(id, None)
            known = self._groups[replica.spec.group]
            del known[id]
            if not known:
                del self._groups[replica.spec.group]
        return replica

    def _on_gone(self, replica: Replica, gone: asyncio.Future[str]) -> None:
        if not gone.cancelled():
            self._lost(replica, gone.result())

    def _lost(self, replica: Replica, why: str) -> None:
        id = replica.spec.id
        born = self._born.pop(id, 0.0)
        self.suspect.discard(id)
        if self._drop(id) is None:
            return
        log.warning("replica %s of %s died (%s)", id, replica.spec.label, why)
        self.deaths[replica.spec.group] += 1
        self.ends[replica.spec.group] = End(time.time(), why)
        self.on_end(replica.spec, why)
        if time.monotonic() - born > HEALTHY_S:
            self.failures.pop(replica.spec.group, None)
        self._failed(replica.spec.group, f"A replica died ({why}).")

    def _failed(self, group: Hashable, why: str) -> None:
        count = self.failures.get(group, Failures()).deaths + 1
        self.failures[group] = Failures(count, time.monotonic())
        self.problems[group] = why
        self.touch(group)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def prove(replica: Replica, version: Version, config: RevisionConfig) -> None:
    """Ask for the model's own example; raise InvalidModel when the answer is not a prediction."""
    body = version.manifest.inspection.body
    if body is None:
        return
    reply = await replica.ask(frames.DOOR_PLAIN, version.model.encode(), body, max(PROOF_S, config.timeout_s))
    if reply.status != 200:
        raise InvalidModel("The model loaded but did not answer its own example.", help="See inferry logs NAME.")
