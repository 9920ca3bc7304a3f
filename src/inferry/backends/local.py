"""Local backend: replicas as processes of this machine, forked from zygotes.

Data flow: ReplicaSpec -> zygote forks -> the child loads and listens on its socket in the run
directory -> a Channel to it. The sockets are the only record: a new control process adopts
whatever answers on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from inferry.backends.cgroups import Cgroups, Limits
from inferry.backends.channel import Channel
from inferry.backends.grown import Grown
from inferry.backends.zygotes import Child, Zygotes
from inferry.errors import DeadlineExceeded, InferryError, InvalidModel
from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.lead import Permit
from inferry.types.conversion import CheckTask, Converted, ConvertTask
from inferry.types.replicas import InspectTask, ReplicaSpec
from inferry.types.signature import Inspection
from inferry.types.zygote import ReplicaTask

PROCESSES = 512
REAPED_S = 2.0
ENGINE_PROCESSES = 8192
LOAD_S = 300.0
ENGINE_LOAD_S = {"vllm": 1800.0}
"""Engines that read tens of gigabytes and compile kernels before they answer."""
QUICK_S = 0.001
POLL_S = 0.005
SOON_S = 0.3
"""So long one looks often: who waits for a first replica should not wait for the next look."""


class Readers(NamedTuple):
    """What reads the files that confined children leave; both take the child's exit code."""

    inspection: Callable[[Path, int], Inspection]
    conversion: Callable[[Path, int], Converted]


class LocalBackend:
    """interfaces.backend.Backend on one machine."""

    def __init__(
        self,
        run: Path,
        logs: Path,
        zygotes: Zygotes,
        bundles: BlobStore,
        readers: Readers,
        permit: Permit,
        cgroups: Cgroups | None = None,
    ) -> None:
        self._permit = permit
        self._run = run
        self._logs = logs
        self._zygotes = zygotes
        self._bundles = bundles
        self._readers = readers
        self._cgroups = cgroups or Cgroups(None, "not looked for", "")
        self._channels: set[Channel] = set()

    async def prepare(self, environment: str, runtime: str) -> None:
        """A zygote that has the framework imported."""
        await self._zygotes.get(environment, runtime)

    async def start(self, spec: ReplicaSpec) -> Channel:
        """Fork a replica and wait until it listens."""
        bundle = self._bundles.find(spec.bundle) or await asyncio.to_thread(self._bundles.path, spec.bundle)
        zygote = await self._zygotes.get(spec.environment, spec.runtime)
        scratch = self._run / f"s-{spec.id}"
        scratch.mkdir(mode=0o700)
        report = self._run / f"r-{spec.id}.error"
        groups = self._cgroups.make(spec.id, limits_of(spec))
        task = ReplicaTask(
            spec=spec,
            bundle=str(bundle),
            socket=str(self._run / f"r-{spec.id}.sock"),
            scratch=str(scratch),
            report=str(report),
            groups=groups,
            limited=bool(groups) and self._cgroups.limit_memory,
        )
        child = await zygote.fork(self._logs / f"{spec.label}.log", task, spec.id)
        try:
            channel = await self._await_listening(task.socket, child, report, ENGINE_LOAD_S.get(spec.runtime, LOAD_S))
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                if not child.exited.done():
                    os.kill(child.pid, signal.SIGKILL)
            child.exited.add_done_callback(lambda _: self._cgroups.remove(spec.id))
            self._sweep(spec.id)
            raise
        report.unlink(missing_ok=True)
        channel.killed = partial(self._killed, spec)
        child.exited.add_done_callback(lambda exited: self._exited(channel, exited))
        return self._keep(channel)

    async def adopt(self) -> list[Channel]:
        """Connect to every replica that answers; remove what is left of those that do not. What an earlier control
        process had begun to start or inspect is ended: nobody waits for it."""
        self._permit.check()
        living = await self._zygotes.living()
        found = []
        for path in sorted(self._run.glob("r-*.sock")):
            id = path.stem.removeprefix("r-")
            try:
                channel = self._keep(await Channel.open(str(path), permit=self._permit))
                self._cgroups.adopted(channel.spec.id, limits_of(channel.spec))
                channel.killed = partial(self._killed, channel.spec)
                found.append(channel)
                living.pop(id, None)
            except (OSError, InferryError):
                self._sweep(id)
        for id, pid in living.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._sweep(id)
        self._cgroups.sweep(channel.spec.id for channel in found)
        return found

    async def inspect(self, task: InspectTask, environment: str) -> Inspection:
        """Run one inspection in a forked, confined child."""
        grown = Grown()
        try:
            code = await self._finish(environment, task.runtime, task, grown)
        except TimeoutError as error:
            raise InvalidModel(
                f"The model did not load and answer within {task.timeout_s:g} s.",
                help="Check what it does at load; see logs/inspections.log in INFERRY_HOME.",
            ) from error
        found = self._readers.inspection(Path(task.scratch) / "inspection.json", code)
        return msgspec.structs.replace(found, memory_mb=grown.now >> 20, peak_mb=grown.peak >> 20)

    async def convert(self, task: ConvertTask | CheckTask, environment: str) -> Converted:
        """Run one half of a conversion in a forked, confined child."""
        runtime = task.runtime if isinstance(task, ConvertTask) else "onnx"
        try:
            code = await self._finish(environment, runtime, task)
        except TimeoutError as error:
            raise InvalidModel(f"its conversion took more than {task.timeout_s:g} s") from error
        return self._readers.conversion(Path(task.scratch) / "conversion.json", code)

    async def _finish(
        self,
        environment: str,
        runtime: str,
        task: InspectTask | ConvertTask | CheckTask,
        grown: Grown | None = None,
    ) -> int:
        """The exit code of a child made for one task. Raises TimeoutError when it had to be killed."""
        zygote = await self._zygotes.get(environment, runtime)
        child = await zygote.fork(self._logs / "inspections.log", task)
        watching = asyncio.create_task(grown.watch(child.pid)) if grown is not None else None
        try:
            return await asyncio.wait_for(asyncio.shield(child.exited), task.timeout_s)
        except (TimeoutError, asyncio.CancelledError):
            os.kill(child.pid, signal.SIGKILL)
            raise
        finally:
            if watching is not None:
                watching.cancel()

    async def close(self) -> None:
        """Hang up; replicas go on."""
        for channel in list(self._channels):
            channel.close()
        self._zygotes.close()

    async def _await_listening(self, path: str, child: Child, report: Path, limit: float) -> Channel:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (now := loop.time()) < begun + limit:
            with contextlib.suppress(OSError):
                return await Channel.open(path, permit=self._permit)
            if child.exited.done():
                raise self._failure(report, child.exited.result(), Path(path).stem.removeprefix("r-"))
            await asyncio.sleep(QUICK_S if now < begun + SOON_S else POLL_S)
        raise DeadlineExceeded(f"The model did not load within {limit:g} s.")

    def _failure(self, report: Path, code: int, id: str) -> InferryError:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            reason = msgspec.json.decode(report.read_bytes(), type=dict[str, str])
            return InvalidModel(reason["message"], help=reason["help"])
        why = self._cgroups.killed(id)
        if why:
            return InvalidModel(
                f"The model was {why}, while loading.", help="Allow it more: inferry deploy --memory MB."
            )
        return InvalidModel(f"The model ended its process while loading ({describe_exit(code)}).")

    def _keep(self, channel: Channel) -> Channel:
        self._channels.add(channel)
        channel.gone.add_done_callback(lambda gone: self._forget(channel, gone))
        return channel

    def _forget(self, channel: Channel, gone: asyncio.Future[str]) -> None:
        self._channels.discard(channel)
        if not gone.cancelled():
            self._sweep(channel.spec.id)
            asyncio.get_running_loop().call_later(REAPED_S, self._cgroups.remove, channel.spec.id)

    def _exited(self, channel: Channel, exited: asyncio.Future[int]) -> None:
        if not exited.cancelled() and exited.exception() is None and not channel.gone.done():
            channel.gone.set_result(self._killed(channel.spec) or describe_exit(exited.result()))
        self._cgroups.remove(channel.spec.id)

    def _killed(self, spec: ReplicaSpec) -> str:
        """What a replica was killed for, which its endpoint's log is told too: it could not say it itself."""
        why = self._cgroups.killed(spec.id)
        if not why:
            return ""
        with contextlib.suppress(OSError), (self._logs / f"{spec.label}.log").open("a") as file:
            file.write(f"inferry: replica {spec.id} was {why}\n")
        return why

    def _sweep(self, replica: str) -> None:
        for suffix in (".sock", ".error"):
            (self._run / f"r-{replica}{suffix}").unlink(missing_ok=True)
        shutil.rmtree(self._run / f"s-{replica}", ignore_errors=True)


def limits_of(spec: ReplicaSpec) -> Limits:
    """What a replica may take."""
    engine = spec.runtime in ENGINE_LOAD_S
    return Limits(
        memory=spec.config.memory_mb << 20, cpus=spec.config.cpus, processes=ENGINE_PROCESSES if engine else PROCESSES
    )


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in signal.Signals._value2member_map_ else str(-code)
    hint = {"SIGKILL": ": out of memory, or killed by hand", "SIGXCPU": ": over its CPU time"}.get(name, "")
    return f"signal {name}{hint}"
