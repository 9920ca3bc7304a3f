"""Zygotes: control's handles to the processes that fork replicas and inspectors.

A zygote outlives control: the next control finds it by its socket in the run directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inferry.errors import EnvironmentFailed, Superseded, Unavailable
from inferry.interfaces.lead import Permit
from inferry.types.conversion import CheckTask, ConvertTask
from inferry.types.replicas import InspectTask
from inferry.types.zygote import Fork, ReplicaTask, ZygoteConfig, ZygoteEvent

log = logging.getLogger(__name__)

START_S = 60.0
GREETING_S = 5.0

Task = ReplicaTask | InspectTask | ConvertTask | CheckTask
_FIELDS: dict[type[Task], str] = {
    ReplicaTask: "replica",
    InspectTask: "inspect",
    ConvertTask: "convert",
    CheckTask: "check",
}


@dataclass(frozen=True, kw_only=True)
class Child:
    """A forked process: `exited` is done with its exit code (negative: killed by that signal)."""

    pid: int
    exited: asyncio.Future[int]


class Zygote:
    """A connection to one zygote. `living`: its children that another control process ordered, by their names."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, permit: Permit) -> None:
        self._reader = reader
        self._writer = writer
        self._permit = permit
        self.living: dict[str, int] = {}
        self._born: dict[str, asyncio.Future[int]] = {}
        self._exits: dict[str, asyncio.Future[int]] = {}
        self._task = asyncio.create_task(self._listen())

    @property
    def usable(self) -> bool:
        """Whether it can still take orders."""
        return not self._task.done()

    async def fork(self, log: Path, task: Task, name: str = "") -> Child:
        """Fork one child for a task and wait for its pid. Raises Superseded when this process leads no longer."""
        loop = asyncio.get_running_loop()
        name = name or secrets.token_hex(8)
        self._permit.check()
        self._born[name] = loop.create_future()
        exited = self._exits[name] = loop.create_future()
        order = {"id": name, "log": str(log), "epoch": self._permit.epoch, _FIELDS[type(task)]: task}  # a Fork
        self._writer.write(msgspec.json.encode(order) + b"\n")
        pid = await asyncio.wait_for(self._born[name], START_S)
        return Child(pid=pid, exited=exited)

    async def greet(self) -> None:
        """Make this control process's epoch known, and learn which children live. Orders of an older one that were not
        obeyed by now never are."""
        name = secrets.token_hex(8)
        answered = self._born[name] = asyncio.get_running_loop().create_future()
        self._writer.write(msgspec.json.encode(Fork(id=name, epoch=self._permit.epoch)) + b"\n")
        await asyncio.wait_for(answered, GREETING_S)

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                event = msgspec.json.decode(line, type=ZygoteEvent)
                if event.refused:
                    self._refused(event.id)
                elif event.status is None:
                    waiting = self._born.pop(event.id, None)
                    if waiting is None:
                        self.living[event.id] = event.pid
                    elif not waiting.done():
                        waiting.set_result(event.pid)
                else:
                    self.living.pop(event.id, None)
                    exited = self._exits.pop(event.id, None)
                    if exited is not None and not exited.done():
                        exited.set_result(event.status)
        finally:
            for waiting in (*self._born.values(), *self._exits.values()):
                if not waiting.done():
                    waiting.set_exception(Unavailable("The process that forks replicas died."))
                    waiting.exception()
            self._born.clear()
            self._exits.clear()
            self._writer.close()

    def _refused(self, name: str) -> None:
        self._exits.pop(name, None)
        waiting = self._born.pop(name, None)
        if waiting is not None and not waiting.done():
            self._permit.superseded(self._permit.epoch + 1)
            waiting.set_exception(Superseded("Another control process leads now; nothing was started."))

    def close(self) -> None:
        """Hang up."""
        self._task.cancel()


class Zygotes:
    """All zygotes, by environment and runtime; started when first needed."""

    def __init__(
        self,
        run: Path,
        logs: Path,
        boot: Path,
        lifeline: int,
        python: Callable[[str], Path],
        variables: Mapping[str, str],
        permit: Permit,
    ) -> None:
        self._permit = permit
        self._run = run
        self._logs = logs
        self._boot = boot
        self._lifeline = lifeline
        self._python = python
        self._variables = dict(variables)
        self._open: dict[tuple[str, str], Zygote] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._processes: list[subprocess.Popen[bytes]] = []

    async def get(self, environment: str, runtime: str) -> Zygote:
        """The zygote of an environment, connected."""
        key = (environment, runtime)
        async with self._locks.setdefault(key, asyncio.Lock()):
            zygote = self._open.get(key)
            if zygote is None or not zygote.usable:
                zygote = self._open[key] = await self._connect(*key)
            return zygote

    async def living(self) -> dict[str, int]:
        """Greet every zygote that is there; the children that live, by name."""
        found: dict[str, int] = {}
        for path in self._run.glob("z-*.sock"):
            try:
                zygote = Zygote(*await asyncio.open_unix_connection(path), self._permit)
            except OSError:
                continue  # it is gone, and its socket is left
            try:
                await zygote.greet()
            except (TimeoutError, Unavailable):
                log.warning("the zygote at %s does not answer", path.name)
            found |= zygote.living
            zygote.close()
        return found

    async def _connect(self, environment: str, runtime: str) -> Zygote:
        path = self._run / f"z-{environment[:12]}-{runtime}.sock"
        with contextlib.suppress(OSError):
            return Zygote(*await asyncio.open_unix_connection(path), self._permit)
        self._permit.check()
        output = self._logs / "zygotes.log"
        config = ZygoteConfig(
            socket=str(path), lifeline=self._lifeline, runtime=runtime, log=str(output), epoch=self._permit.epoch
        )
        process = subprocess.Popen(  # noqa: ASYNC220 - a spawn takes a millisecond
            [self._python(environment), "-I", str(self._boot), msgspec.json.encode(config).decode()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._variables,
            cwd=self._run,
            pass_fds=(self._lifeline,),
        )
        self._processes = [*(old for old in self._processes if old.poll() is None), process]
        deadline = asyncio.get_running_loop().time() + START_S
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(OSError):
                return Zygote(*await asyncio.open_unix_connection(path), self._permit)
            if process.poll() is not None:
                break
            await asyncio.sleep(0.01)
        process.kill()
        raise EnvironmentFailed(
            f"The {runtime} runtime could not be imported in its environment.",
            help="The reason is at the end of logs/zygotes.log in INFERRY_HOME.",
        )

    def close(self) -> None:
        """Hang up on all of them."""
        for zygote in self._open.values():
            zygote.close()
