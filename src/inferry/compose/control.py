"""Control process: store, blobs, environments, backend, reconciler and the control API. Wiring only."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import msgspec
import uvicorn
import uvloop

from inferry.api.access import Guard
from inferry.api.app import Api, build
from inferry.backends.local import LocalBackend
from inferry.backends.zygotes import Zygotes
from inferry.bundles.verdict import read_result
from inferry.compose.checks import make_checks
from inferry.compose.process import announce, configure_logging, on_lifeline
from inferry.compose.settings import ControlSettings, Layout
from inferry.control.build import Builder
from inferry.control.deploy import Deployer
from inferry.control.doctor import Doctor
from inferry.control.fleet import Fleet
from inferry.control.logs import keep_short
from inferry.control.publisher import Publisher
from inferry.control.reconciler import Reconciler, read_store
from inferry.control.service import Service, Site
from inferry.environments.builder import Environments, locate_uv
from inferry.environments.pip_settings import read_pip_settings
from inferry.errors import InferryError
from inferry.interfaces.store import MetadataStore
from inferry.security.files import read_private, write_private
from inferry.security.keys import KeyRing, mint
from inferry.security.sandbox import clean_environment
from inferry.storage.blobs import DirectoryBlobs
from inferry.storage.metadata import open_store
from inferry.storage.schema import at_head
from inferry.version import __version__

BOOT = Path(__file__).with_name("boot.py")
ADMIN = "admin"


def open_migrated(database: Path) -> MetadataStore:
    """The store, after a migration in a process of its own if one is due."""
    url = f"sqlite:///{database}"
    if not at_head(database):
        subprocess.run([sys.executable, "-P", "-m", "inferry.storage.migrate", url], check=False)
    return open_store(url)


def sweep(layout: Layout, blobs: DirectoryBlobs, store: MetadataStore) -> None:
    """Remove what an interrupted deploy left: staged uploads, and bundles that no version pins."""
    for folder in layout.staging.iterdir():
        shutil.rmtree(folder)
    blobs.sweep()
    for digest in blobs.digests() - store.bundles():
        blobs.delete(digest)


def environments_of(store: MetadataStore) -> set[str]:
    """The environments that versions need."""
    versions = (version for model in store.models() for version in store.versions(model.name))
    return {version.manifest.environment.digest for version in versions}


def ensure_admin(layout: Layout, store: MetadataStore, pepper: bytes) -> None:
    """See that the key in the admin key file works; mint one when there is none."""
    if layout.admin_key.exists():
        text = read_private(layout.admin_key).strip()
        ring = KeyRing({key.id: key for key in store.keys()}, pepper)  # noqa: SIM118 - a method of the store
        try:
            ring.check(b"Bearer " + text, time.time())
        except InferryError:
            layout.admin_key.unlink()
        else:
            return
    known = {key.name for key in store.keys()}  # noqa: SIM118 - a method of the store
    if ADMIN in known:
        store.delete_key(ADMIN)
    key, secret = mint(ADMIN, "admin", ("*",), 0.0, time.time(), pepper)
    store.add_key(key)
    write_private(layout.admin_key, secret.encode() + b"\n")


async def serve(settings: ControlSettings) -> None:
    """Until a signal, or until the supervisor is gone."""
    loop = asyncio.get_running_loop()
    on_lifeline(loop, settings.lifeline, lambda: os._exit(0))
    layout = Layout(Path(settings.home), Path(settings.run))
    pepper = read_private(layout.pepper)
    store = await asyncio.to_thread(open_migrated, layout.database)
    blobs = DirectoryBlobs(layout.bundles)
    ensure_admin(layout, store, pepper)
    sweep(layout, blobs, store)
    environments = Environments(
        layout.environments,
        locate_uv(),
        sys.executable,
        read_pip_settings(settings.variables, Path.home()),
        cache=Path(settings.variables.get("UV_CACHE_DIR") or layout.cache),
    )
    environments.sweep()
    environments.remove_unused(environments_of(store))
    variables = clean_environment(settings.variables, str(layout.run))
    zygotes = Zygotes(layout.run, layout.logs, BOOT, settings.lifeline, environments.python, variables)
    backend = LocalBackend(layout.run, layout.logs, zygotes, blobs.path, read_result)
    fleet = Fleet(backend)
    publisher = Publisher(layout.gateway_socket, layout.table, fleet.stuck)
    reconciler = Reconciler(fleet, publisher, partial(read_store, store))
    deployer = Deployer(
        store, blobs, Builder(environments, backend, blobs, settings.inspect_timeout_s), fleet, reconciler
    )
    site = Site(
        http=settings.http,
        key_file=layout.admin_key,
        logs=layout.logs,
        staging=layout.staging,
        version=__version__,
    )
    service = Service(site, store, blobs, fleet, reconciler, deployer, pepper)
    doctor = Doctor(make_checks(layout, store, blobs, fleet, reconciler, publisher))
    publisher.start()
    await fleet.adopt()
    await reconciler.refresh()
    running = [asyncio.create_task(reconciler.run()), asyncio.create_task(keep_short(layout.logs))]
    ring = KeyRing(reconciler.desired.keys, pepper)
    made_for = reconciler.desired.keys

    def current_ring() -> KeyRing:
        nonlocal ring, made_for
        if made_for is not reconciler.desired.keys:
            made_for = reconciler.desired.keys
            ring = KeyRing(made_for, pepper)
        return ring

    app = build(Api(service, doctor, settings.max_upload), Guard(current_ring, settings.hosts))
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
    )
    listener = socket.socket(fileno=settings.listener)
    loop.call_soon(announce, settings.ready)
    await uvicorn.Server(config).serve(sockets=[listener])
    for task in running:
        task.cancel()
    await service.operations.close()
    await backend.close()
    store.close()


def main() -> None:
    """The process."""
    settings = msgspec.json.decode(sys.argv[1], type=ControlSettings)
    configure_logging(Path(settings.home) / "logs" / "control.log")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    main()
