"""Ray backend: each replica on a node of a Ray cluster, started there by a host (an actor) that Ray places.

Data flow: ReplicaSpec -> what it needs of a node (policy.placement) -> Ray places a host -> the bundle goes there
unless it is there -> the host starts the replica, which listens on TCP -> a Channel to it, over TLS. Predictions never
pass through Ray. What was started is remembered in the home, so that the next control process finds it without asking
Ray; inspections and conversions run on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from inferry.backends import far
from inferry.backends.channel import Dial, Secure
from inferry.backends.devices import find_devices
from inferry.backends.far import FarReplica
from inferry.backends.local import ENGINE_LOAD_S, LOAD_S, LocalBackend
from inferry.backends.ray_cluster import Cluster
from inferry.errors import DeadlineExceeded, InferryError, InvalidModel, Unavailable
from inferry.interfaces.lead import Permit
from inferry.policy.placement import Place, place_of
from inferry.types.conversion import CheckTask, Converted, ConvertTask
from inferry.types.hosts import HostConfig, Hosted, HostTask, Placed, Told
from inferry.types.identity import Identity
from inferry.types.replicas import InspectTask, ReplicaSpec
from inferry.types.signature import Inspection

log = logging.getLogger(__name__)

PIECE = 8 << 20
ANSWER_S = 60.0
BUILD_S = 900.0
SHUN_S = 30.0
"""Ray itself takes 15 s or so to notice that a node is gone."""

PLATFORM = "platform"

T = TypeVar("T")


class Trust(Protocol):
    """Certificates for the two ends of a channel."""

    def context(self) -> ssl.SSLContext:
        """Of control's own connections."""
        ...

    def sign(self, replica: str, request: str) -> Identity:
        """What a replica shows, for the key that its host has made."""
        ...

    def issue(self, replica: str) -> Identity:
        """The same with a key, for over a channel that is safe."""
        ...

    def name(self, replica: str) -> str:
        """What must be in it."""
        ...


class RayBackend:
    """interfaces.backend.Backend on a Ray cluster. `host`: the class of the actors; `dial` connects plainly."""

    def __init__(
        self,
        local: LocalBackend,
        cluster: Cluster,
        host: type,
        config: HostConfig,
        trust: Trust,
        dial: Dial,
        *,
        bundle_path: Callable[[str], Path],
        placed: Path,
        logs: Path,
        permit: Permit,
        place_s: float,
    ) -> None:
        self._permit = permit
        self._local = local
        self._cluster = cluster
        self._host = host
        self._config = msgspec.json.encode(config)
        self._trust = trust
        self._dial = dial
        self._bundle_path = bundle_path
        self._placed = placed
        self._logs = logs
        self._place_s = place_s
        self._replicas: dict[str, FarReplica] = {}
        self._starting: dict[str, str] = {}  # replica -> its node, empty while it has none
        self._shunned: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def prepare(self, environment: str, runtime: str) -> None:
        """Nothing: environments are built where a replica starts."""

    async def start(self, spec: ReplicaSpec) -> FarReplica:
        """Have Ray place a host, and have that start the replica."""
        self._permit.check()
        place = place_of(spec.config, spec.device)._replace(beside=self._beside(spec), shunned=self._avoided())
        self._starting[spec.id] = ""
        name, host = f"replica-{spec.id}", None
        try:
            async with speaking_plainly():
                group = await self._cluster.gang(name, place) if place.gang else None
                host = await self._cluster.make(self._host, self._config, name, place, group)
                hosted = await self._settled(host, place)
                self._starting[spec.id] = hosted.node
                bundle = await asyncio.to_thread(self._bundle_path, spec.bundle)
                await self._send(host, spec.bundle, bundle)
                limit = ENGINE_LOAD_S.get(spec.runtime, LOAD_S)
                task = HostTask(
                    spec=spec,
                    identity=self._trust.sign(spec.id, hosted.request),
                    lock=lock_of(spec, bundle),
                    limit_s=limit,
                )
                self._permit.check()
                told = await said(host.start.remote(msgspec.json.encode(task)), BUILD_S + limit, Told)
            raise_told(told)
            replica = await self._open(spec.id, told.address)
        except BaseException:
            self._spawn(self._cluster.end(host, name, gang=place.gang))
            raise
        finally:
            node = self._starting.pop(spec.id)
        await asyncio.to_thread(self._placed.mkdir, mode=0o700, exist_ok=True)
        record = Placed(id=spec.id, address=told.address, node=node, gang=place.gang)
        await asyncio.to_thread(self._file(spec.id).write_bytes, msgspec.json.encode(record))
        return self._keep(replica, record, host)

    async def adopt(self) -> list[FarReplica]:
        """Connect to every replica that is remembered and answers; end the hosts of the others, once Ray is there."""
        found = []
        for file in sorted(self._placed.glob("*.json")) if self._placed.is_dir() else []:
            try:
                record = msgspec.json.decode(file.read_bytes(), type=Placed)
                found.append(self._keep(await self._open(record.id, record.address), record, None))
            except (OSError, InferryError, msgspec.DecodeError) as error:
                log.warning("the replica of %s is not there any more: %s", file.name, error)
                file.unlink(missing_ok=True)
        self._spawn(self._sweep())
        return found

    async def inspect(self, task: InspectTask, environment: str) -> Inspection:
        """On this machine, with its own GPUs."""
        if task.device == "cuda":
            own = await asyncio.to_thread(find_devices)
            task = msgspec.structs.replace(task, gpus=tuple(gpu.id for gpu in own.gpus))
        return await self._local.inspect(task, environment)

    async def convert(self, task: ConvertTask | CheckTask, environment: str) -> Converted:
        """On this machine."""
        return await self._local.convert(task, environment)

    async def close(self) -> None:
        """The platform stops: replicas on other machines would not end with it by themselves."""
        ending = [self._end(replica) for replica in list(self._replicas.values())]
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*ending, return_exceptions=True), far.END_S)
        await asyncio.to_thread(self._cluster.leave)
        await self._local.close()

    async def _settled(self, host: Any, place: Place) -> Hosted:
        """Where Ray has put a host. Raises Unavailable with what is missing when there is no room for it."""
        try:
            return await said(host.describe.remote(), self._place_s, Hosted)
        except TimeoutError:
            why = await self._cluster.missing(place)
            raise Unavailable(
                f"The Ray cluster has had no room for a replica for {self._place_s:g} s. {why}",
                help="Ask for less (--cpus, --gpus, --memory), add nodes, or stop something else.",
            ) from None

    async def _send(self, host: Any, digest: str, bundle: Path) -> None:
        """See that a bundle is where its host is: by Ray's object store, a piece at a time."""
        if await asyncio.wait_for(host.has.remote(digest), ANSWER_S):
            return
        ray = await self._cluster.join()
        for path in await asyncio.to_thread(files_of, bundle):
            name = path.relative_to(bundle).as_posix()
            with path.open("rb") as file:
                while (piece := await asyncio.to_thread(file.read, PIECE)) or not file.tell():
                    kept = await asyncio.to_thread(ray.put, piece)
                    await asyncio.wait_for(host.receive.remote(name, kept), ANSWER_S)
                    if not piece:  # an empty file
                        break
        raise_told(await said(host.received.remote(digest), BUILD_S, Told))

    async def _open(self, id: str, address: str) -> FarReplica:
        secure = Secure(self._dial, self._trust.context(), self._trust.name(id))
        return await FarReplica.open(address, secure, self._permit)

    def _keep(self, replica: FarReplica, record: Placed, host: Any) -> FarReplica:
        self._replicas[record.id] = replica
        find = self._cluster.find
        replica.watch(record, host, lambda: find(f"replica-{record.id}"), self._logs, self._trust.issue, self._shun)
        replica.gone.add_done_callback(lambda gone: self._forget(replica, gone))
        return replica

    def _forget(self, replica: FarReplica, gone: asyncio.Future[str]) -> None:
        self._replicas.pop(replica.placed.id, None)
        if not gone.cancelled():
            self._spawn(self._end(replica))

    async def _end(self, replica: FarReplica) -> None:
        replica.close()
        self._file(replica.placed.id).unlink(missing_ok=True)
        name = f"replica-{replica.placed.id}"
        await self._cluster.end(await replica.host(), name, gang=replica.placed.gang)

    async def _sweep(self) -> None:
        """End the hosts that nobody knows of: of a control process that died while it started one."""
        try:
            async with speaking_plainly():
                for name in await self._cluster.names():
                    id = name.removeprefix("replica-")
                    if id not in self._replicas and id not in self._starting:
                        self._permit.check()
                        await self._cluster.end(await self._cluster.find(name), name, gang=True)
        except InferryError as error:
            log.warning("the Ray cluster cannot be reached: %s", error.sentence())

    def _shun(self, node: str) -> None:
        """A node does not answer: put nothing there for a while."""
        self._shunned[node] = asyncio.get_running_loop().time()

    def _avoided(self) -> tuple[str, ...]:
        now = asyncio.get_running_loop().time()
        self._shunned = {node: since for node, since in self._shunned.items() if now - since < SHUN_S}
        return tuple(self._shunned)

    def _beside(self, spec: ReplicaSpec) -> tuple[str, ...]:
        """The nodes that have a replica of its kind already."""
        kind = [replica.placed.node for replica in self._replicas.values() if replica.spec.group == spec.group]
        return tuple({node for node in (*kind, *self._starting.values()) if node})

    def _file(self, id: str) -> Path:
        return self._placed / f"{id}.json"

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def files_of(bundle: Path) -> list[Path]:
    """All that a bundle consists of."""
    return sorted(path for path in bundle.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def lock_of(spec: ReplicaSpec, bundle: Path) -> str:
    """The lock of its environment, empty for the platform's own packages."""
    if spec.environment == PLATFORM:
        return ""
    return (bundle / "environment" / "lock.txt").read_text(encoding="utf-8")


async def said(answer: Any, limit_s: float, kind: type[T]) -> T:
    """A host's answer. Raises TimeoutError."""
    return msgspec.json.decode(await asyncio.wait_for(answer, limit_s), type=kind)


def raise_told(told: Told) -> None:
    """Raise the error that a host told."""
    if not told.code:
        return
    kinds: dict[str, type[InferryError]] = {"invalid_model": InvalidModel, "deadline_exceeded": DeadlineExceeded}
    raise kinds.get(told.code, Unavailable)(told.message, help=told.help)


@contextlib.asynccontextmanager
async def speaking_plainly() -> AsyncIterator[None]:
    """Ray's errors as ours."""
    try:
        yield
    except (InferryError, OSError):
        raise
    except Exception as error:
        log.warning("Ray: %s", error)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = lines[-1][:300] if lines else type(error).__name__
        raise Unavailable(
            f"A replica could not be started by Ray: {why}",
            help="Every node needs the same inferry[ray] as this machine. See logs/control.log, and `ray status`.",
        ) from error
