"""`inferry serve`: a gateway with one model's replica, without control API or database.

Data flow: a bundle, or a file or folder that is made into one -> the same builder, fleet and
reconciler as the platform's, with a fixed desired state -> the same gateway, in this process.
The model itself runs in a confined child process, as everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import uvloop

from inferry.backends.devices import find_devices
from inferry.backends.local import LocalBackend, Readers
from inferry.backends.memory import machine_memory
from inferry.backends.zygotes import Zygotes
from inferry.bundles.converting import read_converted
from inferry.bundles.detect import detect
from inferry.bundles.pack import verify
from inferry.bundles.verdict import read_result
from inferry.compose.control import BOOT
from inferry.compose.gateway import FORMS, add_grpc, make_grpc, make_pages, make_server
from inferry.compose.ports import bind, target_of, url_of
from inferry.compose.settings import MAX_BODY, GatewaySettings, Layout
from inferry.control.build import Builder
from inferry.control.fleet import Fleet
from inferry.control.reconciler import Desired, Live, Reconciler
from inferry.control.room import Room
from inferry.control.scaler import Scaler
from inferry.environments.builder import Environments, locate_uv
from inferry.environments.lean import has_nvidia_driver
from inferry.environments.pip_settings import read_pip_settings
from inferry.errors import InvalidInput, NotFound
from inferry.gateway.app import App
from inferry.gateway.core import Core
from inferry.gateway.counters import counters_of
from inferry.gateway.head import Heads
from inferry.gateway.services import Services
from inferry.interfaces.lead import Alone
from inferry.security.files import private_dir, write_private
from inferry.security.keys import PREFIX, TEXT_SIZE, KeyRing, digest_of, mint
from inferry.security.sandbox import clean_environment
from inferry.storage.blobs import DirectoryBlobs
from inferry.telemetry.metrics import Metrics
from inferry.types.bundle import Detected, Manifest
from inferry.types.conversion import Mode
from inferry.types.names import check_name, suggest_name
from inferry.types.registry import Endpoint, Key, Revision, RevisionConfig, Version
from inferry.types.routing import RoutingTable
from inferry.types.traffic import RevisionCounters


class Printed:
    """Steps as lines on standard error."""

    @contextlib.asynccontextmanager
    async def step(self, name: str, message: str = "") -> AsyncIterator[Callable[[str], None]]:
        """Time one step."""
        start = time.monotonic()
        print(f"{name} {message}".rstrip(), file=sys.stderr, flush=True)
        yield lambda text: print(f"  {text}", file=sys.stderr, flush=True)
        print(f"  {(time.monotonic() - start) * 1000:.0f} ms", file=sys.stderr, flush=True)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for."""

    path: Path
    name: str
    sample: Path | None
    host: str
    port: int
    grpc_port: int
    key: str | None
    ready_file: Path | None
    home: Path
    convert: Mode = "auto"


@dataclass
class Direct:
    """Routing tables for a gateway in this very process."""

    core: Core
    table: RoutingTable

    async def publish(self, table: RoutingTable) -> None:
        """Swap it in."""
        self.table = table
        self.core.apply(table)

    async def counters(self) -> tuple[RevisionCounters, ...]:
        """What it counted."""
        return counters_of(self.core)


async def prepare(request: Request, staging: Path, builder: Builder) -> tuple[Manifest, str]:
    """The bundle that was asked for, or the one made of what is there; kept in the builder's blobs."""
    staged, detected = await asyncio.to_thread(stage, request.path, staging)
    if detected is None:
        digest = sha256((staged / "manifest.json").read_bytes()).hexdigest()
        manifest = verify(staged, digest)
        check_mode(manifest, request.convert)
    else:
        manifest, staged, digest, _ = await builder.build(
            Printed(), staging, staged, request.sample, detected, mode=request.convert
        )
    builder.blobs.adopt(staged, digest)
    return manifest, digest


def check_mode(manifest: Manifest, mode: Mode) -> None:
    """A bundle is served as it was made. Raises InvalidInput when something else is asked for."""
    converted = manifest.conversion is not None and manifest.conversion.serves
    if mode == "never" and converted:
        raise InvalidInput(
            "The bundle was converted to ONNX when it was made, and is not turned back.",
            help="Leave out --native, or give the model's own file or folder.",
        )
    if mode == "require" and manifest.runtime != "onnx":
        raise InvalidInput(
            f"The bundle serves natively, by the runtime {manifest.runtime}, and is not converted any more.",
            help="Leave out --convert=require, or give the model's own file or folder.",
        )


def stage(path: Path, staging: Path) -> tuple[Path, Detected | None]:
    """A copy of the bundle, or of the artifact with what was detected of it."""
    if (path / "manifest.json").is_file():
        return Path(shutil.copytree(path, staging / "bundle")), None
    artifact = staging / "artifact"
    if path.is_dir():
        shutil.copytree(path, artifact)
    else:
        artifact.mkdir(mode=0o700)
        shutil.copy(path, artifact / path.name)
    return artifact, detect(artifact, path.name)


def make_key(text: str | None, pepper: bytes) -> tuple[Key, str]:
    """The key given, or a new one."""
    if text is None:
        return mint("serve", "admin", ("*",), 0.0, time.time(), pepper)
    if not text.startswith(PREFIX) or len(text) != TEXT_SIZE:
        raise InvalidInput(
            "This is not a key of ours.", help="Leave --key out to get a new one, and keep that for the next time."
        )
    start = len(PREFIX)
    return Key(id=text[start : start + 8], name="serve", role="admin", digest=digest_of(text, pepper)), text


def desired(name: str, manifest: Manifest, digest: str, key: Key) -> Desired:
    """One endpoint with one revision of one version, for ever."""
    version = Version(
        model=name, number=1, bundle=digest, source=manifest.source, runtime=manifest.runtime,
        size=0, created=0.0, created_by="serve", manifest=manifest,
    )  # fmt: skip
    revision = Revision(
        endpoint=name, number=1, model=name, version=1, bundle=digest, config=RevisionConfig(),
        replaces=0, created=0.0, created_by="serve",
    )  # fmt: skip
    endpoint = Endpoint(name=name, model=name, traffic={1: 100}, created=0.0, updated=0.0)
    live = Live(endpoint=endpoint, revision=revision, version=version)
    return Desired(live=(live,), keys={key.id: key})


async def serve(request: Request, base: Path, lifeline: int) -> None:
    """Serve until a signal comes."""
    loop = asyncio.get_running_loop()
    layout = Layout(base, base)
    pepper = secrets.token_bytes(32)
    (listener,) = bind(request.host, request.port, "inference")
    (grpc_listener,) = bind(request.host, request.grpc_port, "gRPC")
    for folder in (layout.logs, layout.staging):
        private_dir(folder)
    environments = Environments(
        request.home / "envs", locate_uv(), sys.executable, read_pip_settings(dict(os.environ), Path.home()),
        cache=Path(os.environ.get("UV_CACHE_DIR") or request.home / "cache"), nvidia=has_nvidia_driver(),
    )  # fmt: skip
    variables = clean_environment(os.environ, str(base))
    zygotes = Zygotes(base, layout.logs, BOOT, lifeline, environments.python, variables, Alone())
    blobs = DirectoryBlobs(layout.bundles)
    backend = LocalBackend(base, layout.logs, zygotes, blobs, Readers(read_result, read_converted), Alone())
    builder = Builder(environments, backend, blobs)
    manifest, digest = await prepare(request, layout.staging, builder)
    key, text = make_key(request.key, pepper)
    wanted = desired(request.name, manifest, digest, key)
    heads = Heads(MAX_BODY)
    fleet = Fleet(backend, find_devices, Room(machine_memory()))
    core = Core(loop, lambda table: KeyRing(table.keys, pepper), Metrics(), fleet.stuck)
    reconciler = Reconciler(fleet, Direct(core, RoutingTable()), lambda _: wanted, Scaler(fleet))
    live = wanted.live[0]
    environments.hold(live.version.manifest.environment.digest)
    await builder.restore(live.version, lambda _: None)
    await fleet.start(live.version, request.name, live.revision.config)
    await reconciler.refresh()
    running = asyncio.create_task(reconciler.run())
    limits = GatewaySettings(home="", run="", listener=0, grpc=0, lifeline=0, ready=0)
    services = Services(core, heads, FORMS, limits.head_timeout_s, limits.body_timeout_s)
    pages = make_pages()
    server = make_server(App(core, heads, pages, FORMS), services, limits.drain_s)
    await add_grpc(server, make_grpc(core, pages, limits), grpc_listener)
    url, target = url_of(listener), target_of(grpc_listener)
    replicas = [one.status.pid for one in fleet.replicas.values()]
    facts = {
        "http": url, "grpc": target, "endpoint": request.name, "key": text, "pid": os.getpid(),
        "bundle": str(blobs.path(digest)), "digest": digest, "replicas": replicas,
    }  # fmt: skip
    if request.ready_file is not None:
        write_private(request.ready_file, msgspec.json.encode(facts))
    print(f"Serving {request.name} at {url}/predict/{request.name}\ngRPC: {target}\nKey: {text}", flush=True)
    await server.serve(sockets=[listener])
    running.cancel()
    await backend.close()


def run(
    path: Path, name: str | None, sample: Path | None, host: str, port: int, grpc_port: int, key: str | None,
    ready_file: Path | None, home: Path, convert: Mode = "auto",
) -> int:  # fmt: skip
    """Serve one model until stopped."""
    os.umask(0o077)
    if not path.exists():
        raise NotFound(f"There is nothing at {path}.", help="Give a model file, a folder or a bundle.")
    chosen = check_name(name, "endpoint name") if name else suggest_name(path.stem)
    temporary = tempfile.gettempdir()
    base = Path(tempfile.mkdtemp(prefix="inferry-", dir=temporary if len(temporary) < 60 else "/tmp"))  # noqa: S108
    lifeline, hold = os.pipe()
    os.set_inheritable(hold, False)
    request = Request(
        path=path.resolve(),
        name=chosen,
        sample=sample.resolve() if sample else None,
        host=host,
        port=port,
        grpc_port=grpc_port,
        key=key,
        ready_file=ready_file,
        home=home,
        convert=convert,
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(request, base, lifeline))
    except KeyboardInterrupt:
        return 0
    finally:
        os.close(hold)
        shutil.rmtree(base, ignore_errors=True)
    return 0
