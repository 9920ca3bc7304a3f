"""Hosting: one replica on a machine that is not control's, started and watched by a process of its own there.

Data flow: bundle (in the platform's own folder where that is seen here, else received in pieces, checked by its digest
and kept) -> environment (the same) -> a zygote forks the replica, which listens on TCP -> its address. What the host is
asked for it answers; when it ends, the zygote and the replica see its lifeline close and end too.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from inferry.backends.local import describe_exit
from inferry.backends.zygotes import Child, Zygotes
from inferry.errors import InferryError
from inferry.types.address import TCP
from inferry.types.hosts import Beat, HostTask, Told
from inferry.types.replicas import ReplicaSpec
from inferry.types.zygote import ReplicaTask

POLL_S = 0.01
LOG_PART = 64 << 10
LEFT_S = 86_400.0
MOST_BUNDLES = 20
"""So many are kept on a machine beside the newest; the ones that were used longest ago go."""


class Environments(Protocol):
    """Builds environments on this machine."""

    def restore(self, digest: str, text: str, say: Callable[[str], None]) -> Path:
        """The Python of an environment, built from its lock when it is not there."""
        ...

    def python(self, digest: str) -> Path:
        """The Python of one that is there, also of the platform's own."""
        ...


class Copies:
    """The bundles on this machine, each under its digest, whole or not at all. Several hosts share them."""

    def __init__(self, root: Path, check: Callable[[Path, str], object]) -> None:
        """`check` raises an InferryError when a folder is not the bundle of a digest."""
        self._root = root
        self._check = check
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def find(self, digest: str) -> Path | None:
        """Where a bundle lies, None when it is not here."""
        folder = self._root / digest
        if not folder.is_dir():
            return None
        with contextlib.suppress(OSError):
            os.utime(folder)
        return folder

    def adopt(self, received: Path, digest: str) -> Path:
        """Take in a received folder. Raises InvalidModel when it is not what its name says."""
        self._check(received, digest)
        with self._locked():
            target = self._root / digest
            if not target.is_dir():
                received.rename(target)
            self._forget_oldest()
        return target

    def staging(self) -> Path:
        """A folder to receive into."""
        return Path(tempfile.mkdtemp(prefix=".receiving-", dir=self._root))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _forget_oldest(self) -> None:
        kept = sorted(
            (path for path in self._root.iterdir() if path.name[0] != "."), key=lambda path: -path.stat().st_mtime
        )
        for folder in kept[MOST_BUNDLES:]:  # a replica that has loaded one does not need it any more
            doomed = folder.rename(self._root / f".gone-{secrets.token_hex(4)}")
            shutil.rmtree(doomed, ignore_errors=True)
        for path in self._root.glob(".[gr]*"):  # of hosts that were killed
            if path.stat().st_mtime < time.time() - LEFT_S:
                shutil.rmtree(path, ignore_errors=True)


class Hosting:
    """One replica. `ip`: where it listens; `run`: a folder of its own; `gpus`: what it was given of the machine's."""

    def __init__(self, ip: str, run: Path, copies: Copies, environments: Environments, zygotes: Zygotes) -> None:
        self._ip = ip
        self._run = run
        self._copies = copies
        self._environments = environments
        self._zygotes = zygotes
        self._receiving: Path | None = None
        self._log = run / "replica.log"
        self._child: Child | None = None
        self.ended = ""

    def receive(self, name: str, data: bytes) -> None:
        """One more piece of a file of the bundle."""
        if self._receiving is None:
            self._receiving = self._copies.staging()
        path = (self._receiving / name).resolve()
        if not path.is_relative_to(self._receiving.resolve()):
            raise ValueError("a name outside the bundle")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)

    def received(self, digest: str) -> None:
        """That was all of it. Raises InvalidModel when it is not the bundle of that digest."""
        assert self._receiving is not None
        folder, self._receiving = self._receiving, None
        try:
            self._copies.adopt(folder, digest)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def start(self, task: HostTask, bundle: Path, gpus: tuple[str, ...]) -> Told:
        """Start the replica; where it listens once its model is loaded, or what went wrong."""
        try:
            spec = task.spec
            if task.lock:
                await asyncio.to_thread(self._environments.restore, spec.environment, task.lock, lambda _: None)
            zygote = await self._zygotes.get(spec.environment, spec.runtime)
            report, scratch = self._run / "report", self._run / "scratch"
            scratch.mkdir(mode=0o700)
            order = ReplicaTask(
                spec=msgspec.structs.replace(spec, gpus=gpus) if spec.device == "cuda" else spec,
                bundle=str(bundle), socket=f"{TCP}{self._ip}", scratch=str(scratch), report=str(report),
                identity=task.identity,
            )  # fmt: skip
            self._child = await zygote.fork(self._log, order)
            self._child.exited.add_done_callback(self._on_exit)
            return await self._reported(report, spec, task.limit_s)
        except InferryError as error:
            return Told(code=error.code, message=error.message, help=error.help)
        except OSError as error:
            why = f"A replica could not be started there: {error.strerror or 'it took too long'}."
            return Told(code="unavailable", message=why)

    async def _reported(self, report: Path, spec: ReplicaSpec, limit_s: float) -> Told:
        """What the replica says of itself: its address, or why it has none."""
        deadline = asyncio.get_running_loop().time() + limit_s
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                return msgspec.json.decode(await asyncio.to_thread(report.read_bytes), type=Told)
            if self.ended:
                return Told(code="invalid_model", message=f"The model ended its process while loading ({self.ended}).")
            await asyncio.sleep(POLL_S)
        self.kill()
        return Told(code="deadline_exceeded", message=f"The model of {spec.label} did not load within {limit_s:g} s.")

    def beat(self, offset: int) -> Beat:
        """How the replica is. `offset`: up to where its log is known."""
        log = b""
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(offset)
            log = file.read(LOG_PART)
        return Beat(memory_mb=self._memory_mb(), log=log, offset=offset + len(log), ended=self.ended)

    def kill(self) -> None:
        """End it at once."""
        if self._child is not None and not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, signal.SIGKILL)

    def _on_exit(self, exited: asyncio.Future[int]) -> None:
        failed = exited.cancelled() or exited.exception() is not None
        self.ended = "its zygote is gone" if failed else describe_exit(exited.result())

    def _memory_mb(self) -> float | None:
        if self._child is None or self.ended:
            return None
        try:
            pages = Path(f"/proc/{self._child.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return None
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6
