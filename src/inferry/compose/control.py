"""Control process: store, blobs, environments, backend, reconciler and the control API. Wiring only."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inferry.api.access import Guard
from inferry.api.app import Api, build
from inferry.backends.local import LocalBackend
from inferry.backends.zygotes import Zygotes
from inferry.bundles.verdict import read_result
from inferry.compose import chores
from inferry.compose.checks import make_checks
from inferry.compose.process import announce, http_server, on_lifeline, run
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
from inferry.interfaces.store import MetadataStore
from inferry.security.files import read_private
from inferry.security.sandbox import clean_environment
from inferry.storage.blobs import DirectoryBlobs
from inferry.version import __version__

BOOT = Path(__file__).with_name("boot.py")


@dataclass(frozen=True, kw_only=True)
class Control:
    """The parts of the process that outlive its assembly."""

    store: MetadataStore
    backend: LocalBackend
    fleet: Fleet
    publisher: Publisher
    reconciler: Reconciler
    service: Service
    doctor: Doctor
    pepper: bytes


def assemble(settings: ControlSettings, layout: Layout, store: MetadataStore) -> Control:
    """Make every part and tell it of the others."""
    pepper = read_private(layout.pepper)
    blobs = DirectoryBlobs(layout.bundles)
    environments = Environments(
        layout.environments,
        locate_uv(),
        sys.executable,
        read_pip_settings(settings.variables, Path.home()),
        cache=Path(settings.variables.get("UV_CACHE_DIR") or layout.cache),
    )
    chores.ensure_admin(layout, store, pepper)
    chores.sweep(layout, store, blobs, environments)
    variables = clean_environment(settings.variables, str(layout.run))
    zygotes = Zygotes(layout.run, layout.logs, BOOT, settings.lifeline, environments.python, variables)
    backend = LocalBackend(layout.run, layout.logs, zygotes, blobs.path, read_result)
    fleet = Fleet(backend)
    publisher = Publisher(layout.gateway_socket, layout.table, fleet.stuck)
    reconciler = Reconciler(fleet, publisher, partial(read_store, store))
    builder = Builder(environments, backend, blobs, settings.inspect_timeout_s)
    site = Site(
        http=settings.http,
        key_file=layout.admin_key,
        logs=layout.logs,
        staging=layout.staging,
        version=__version__,
    )
    deployer = Deployer(store, blobs, builder, fleet, reconciler)
    return Control(
        store=store,
        backend=backend,
        fleet=fleet,
        publisher=publisher,
        reconciler=reconciler,
        service=Service(site, store, blobs, fleet, reconciler, deployer, pepper),
        doctor=Doctor(make_checks(layout, store, blobs, fleet, reconciler, publisher)),
        pepper=pepper,
    )


async def serve(settings: ControlSettings) -> None:
    """Until a signal, or until the supervisor is gone."""
    loop = asyncio.get_running_loop()
    on_lifeline(loop, settings.lifeline, lambda: os._exit(0))
    layout = Layout(Path(settings.home), Path(settings.run))
    store = await asyncio.to_thread(chores.open_migrated, layout.database)
    control = assemble(settings, layout, store)
    control.publisher.start()
    await control.fleet.adopt()
    await control.reconciler.refresh()
    running = [asyncio.create_task(control.reconciler.run()), asyncio.create_task(keep_short(layout.logs))]
    guard = Guard(lambda: control.reconciler.desired.keys, control.pepper, settings.hosts)
    app = build(Api(control.service, control.doctor, settings.max_upload), guard)
    server = http_server(app, http="httptools", keep_alive_s=30, drain_s=5)
    listener = socket.socket(fileno=settings.listener)
    loop.call_soon(announce, settings.ready)
    await server.serve(sockets=[listener])
    for task in running:
        task.cancel()
    await control.service.operations.close()
    await control.backend.close()
    store.close()


if __name__ == "__main__":
    run("control", ControlSettings, serve)
