"""Host: the Ray actor that runs one replica on a node. Ray places it and holds its share of the node for it.

Control makes it with what the replica needs; the node needs the same version of `inferry[ray]`, and nothing else of
the platform. It ends by itself when control has not been heard for LEASE_S, and its replica with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from inferry.backends.hosting import Copies, Hosting
from inferry.backends.zygotes import Zygotes
from inferry.bundles.pack import verify
from inferry.environments.builder import Environments, locate_uv
from inferry.environments.lean import has_nvidia_driver
from inferry.environments.pip_settings import read_pip_settings
from inferry.errors import InferryError
from inferry.interfaces.lead import Alone
from inferry.security.authority import request
from inferry.security.sandbox import clean_environment
from inferry.types.hosts import HostConfig, Hosted, HostTask, Told
from inferry.version import __version__

BOOT = Path(__file__).with_name("boot.py")
LEASE_S = 600.0
RUNS, PREFIX = "/tmp", "inferry-host-"  # noqa: S108 - paths of sockets must be short


class Home:
    """What a node keeps between replicas, and what it sees of the platform's own folder. INFERRY_NODE_HOME: where."""

    def __init__(self, config: HostConfig) -> None:
        self.root = Path(os.environ.get("INFERRY_NODE_HOME") or Path.home() / ".inferry" / "node")
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.shared = self._shared(config)
        self.copies = Copies(self.root / "bundles", verify)
        folder = self.shared if self.shared is not None else self.root
        cache = os.environ.get("UV_CACHE_DIR")
        self.environments = Environments(
            folder / "envs", locate_uv(), sys.executable, read_pip_settings(dict(os.environ), Path.home()),
            cache=Path(cache) if cache else folder / "cache", nvidia=has_nvidia_driver(),
        )  # fmt: skip

    @staticmethod
    def _shared(config: HostConfig) -> Path | None:
        """The platform's folder, when this node sees that very folder."""
        home = Path(config.home)
        try:
            return home if (home / "shared").read_text() == config.token else None
        except OSError:
            return None

    def bundle(self, digest: str) -> Path | None:
        """Where a bundle lies here, None when it must be sent."""
        own = self.shared / "bundles" / digest if self.shared is not None else None
        return own if own is not None and own.is_dir() else self.copies.find(digest)


class Host:
    """See above. All data that comes and goes is JSON of the types in `types.hosts`, or a piece of a file."""

    def __init__(self, config: bytes) -> None:
        told = msgspec.json.decode(config, type=HostConfig)
        if told.version != __version__:
            raise RuntimeError(
                f"this node has inferry {__version__}, the platform is {told.version}: "
                f"pip install 'inferry[ray]=={told.version}' on every node"
            )
        os.umask(0o077)
        with contextlib.suppress(OSError):  # only root may; Ray gives its workers the processor last (worker_niceness)
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, os.getppid()))
        self._home = Home(told)
        sweep()
        self._run = Path(tempfile.mkdtemp(prefix=PREFIX, dir=RUNS))
        self._lock = hold(self._run)
        lifeline, self._hold = os.pipe()
        os.set_inheritable(self._hold, False)
        environment = clean_environment(os.environ, str(self._run))
        zygotes = Zygotes(self._run, self._run, BOOT, lifeline, self._home.environments.python, environment, Alone())
        self._key, self._request = request()
        self._hosting = Hosting(node_ip(), self._run, self._home.copies, self._home.environments, zygotes)
        self._heard = time.monotonic()
        self._watching: asyncio.Task[None] | None = None

    async def describe(self) -> bytes:
        """A Hosted."""
        import ray

        self._watching = self._watching or asyncio.create_task(self._watch())
        return msgspec.json.encode(Hosted(node=ray.get_runtime_context().get_node_id(), request=self._request))

    async def has(self, digest: str) -> bool:
        """Whether a bundle is here."""
        return self._home.bundle(digest) is not None

    async def receive(self, name: str, data: bytes) -> None:
        """A piece of a file of the bundle, in order."""
        self._heard = time.monotonic()
        await asyncio.to_thread(self._hosting.receive, name, data)

    async def received(self, digest: str) -> bytes:
        """That was all. A Told, with an error when it is not the bundle."""
        try:
            await asyncio.to_thread(self._hosting.received, digest)
        except InferryError as error:
            return msgspec.json.encode(Told(code=error.code, message=error.message, help=error.help))
        return msgspec.json.encode(Told())

    async def start(self, task: bytes) -> bytes:
        """Start the replica (a HostTask); a Told."""
        import ray

        wanted = msgspec.json.decode(task, type=HostTask)
        bundle = self._home.bundle(wanted.spec.bundle)
        if bundle is None:
            return msgspec.json.encode(Told(code="unavailable", message="The bundle went away again. Try once more."))
        identity = msgspec.structs.replace(wanted.identity, key=self._key)
        wanted = msgspec.structs.replace(wanted, identity=identity)
        gpus = tuple(str(id) for id in ray.get_gpu_ids())
        return msgspec.json.encode(await self._hosting.start(wanted, bundle, gpus))

    async def beat(self, offset: int) -> bytes:
        """Control is there. A Beat, with what the replica's log has from `offset` on."""
        self._heard = time.monotonic()
        return msgspec.json.encode(self._hosting.beat(offset))

    async def kill(self) -> None:
        """End the replica at once."""
        self._hosting.kill()

    async def end(self) -> None:
        """End the replica and this process, and leave nothing. Never returns."""
        self._hosting.kill()
        shutil.rmtree(self._run, ignore_errors=True)
        os._exit(0)

    async def _watch(self) -> None:
        """Until control is not heard for too long."""
        while (left := self._heard + LEASE_S - time.monotonic()) > 0:  # noqa: ASYNC110 - the moment moves
            await asyncio.sleep(left)
        await self.end()


def hold(run: Path) -> int:
    """Show that a run folder is in use, for as long as this process lives."""
    descriptor = os.open(run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def sweep() -> None:
    """Remove the run folders of hosts that were killed."""
    for run in Path(RUNS).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if (run / "lock").exists():
                os.close(hold(run))
                shutil.rmtree(run, ignore_errors=True)


def node_ip() -> str:
    """This node's address, as others of the cluster reach it."""
    import ray

    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
