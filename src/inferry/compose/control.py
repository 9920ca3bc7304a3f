"""Control process: store, blobs, environments, backend, reconciler and the control API. Wiring only."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inferry.backends.local import LocalBackend, Readers
from inferry.backends.memory import machine_memory
from inferry.backends.zygotes import Zygotes
from inferry.bundles.converting import read_converted
from inferry.bundles.verdict import read_result
from inferry.compose import chores
from inferry.compose.backend import choose
from inferry.compose.blobs import open_blobs, settle
from inferry.compose.checks import make_checks
from inferry.compose.database import open_patiently
from inferry.compose.groups import find_groups
from inferry.compose.leading import Contest
from inferry.compose.process import HttpServer, announce, http_server, on_lifeline, run, say
from inferry.compose.settings import JOBS_KEPT, READY, STEPPED_DOWN, ControlSettings, Layout
from inferry.control.build import PLATFORM, Builder
from inferry.control.collector import Collector
from inferry.control.database import DatabaseWatch
from inferry.control.deploy import Deployer
from inferry.control.doctor import Doctor
from inferry.control.endings import Endings
from inferry.control.fallback import Fallback
from inferry.control.feedback import Feedback
from inferry.control.fleet import Fleet
from inferry.control.gitops import GitOps
from inferry.control.hands import Hands
from inferry.control.inputs import Inputs
from inferry.control.lead import Leadership
from inferry.control.line import Told
from inferry.control.logs import keep_short
from inferry.control.messenger import Messenger
from inferry.control.onlooker import Onlooker
from inferry.control.pipelines import Pipelines
from inferry.control.projects import Projects
from inferry.control.publisher import Publisher
from inferry.control.reconciler import Reconciler, read_store
from inferry.control.recycler import Recycler
from inferry.control.retention import Retentions
from inferry.control.room import Room
from inferry.control.scaler import Scaler
from inferry.control.seen import Eyes
from inferry.control.service import Service, Site
from inferry.control.status import Status
from inferry.control.versions import Versions
from inferry.control.webhooks import Webhooks
from inferry.environments.builder import Environments, locate_uv
from inferry.environments.lean import has_nvidia_driver
from inferry.environments.pip_settings import read_pip_settings
from inferry.errors import InferryError, Superseded
from inferry.interfaces.backend import Backend
from inferry.interfaces.lead import Alone
from inferry.interfaces.store import MetadataStore
from inferry.security.files import read_private
from inferry.security.sandbox import clean_environment
from inferry.storage.blobs import DirectoryBlobs
from inferry.storage.metadata import SqlStore
from inferry.storage.object_blobs import ObjectBlobs
from inferry.telemetry.loops import forever
from inferry.types.feedback import Captured, Prediction
from inferry.types.signature import Signature
from inferry.version import __version__

if TYPE_CHECKING:
    from starlette.applications import Starlette

log = logging.getLogger(__name__)

BOOT = Path(__file__).with_name("boot.py")
SETTLE_S = 10.0
SHARE = 0.8
"""Of the machine's memory, or of its cgroup's: what models may take when nothing is said."""
ELSEWHERE = 1 << 60
"""Of memory that is not this machine's, no account is kept."""
LOOK = (sys.executable, "-P", "-m", "inferry.cli.gitops_look")


@dataclass(frozen=True, kw_only=True)
class Control:
    """The parts of the process that outlive its assembly."""

    store: MetadataStore
    blobs: DirectoryBlobs | ObjectBlobs
    builder: Builder
    collector: Collector
    environments: Environments
    backend: Backend
    fleet: Fleet
    publisher: Publisher
    reconciler: Reconciler
    service: Service
    status: Status
    doctor: Doctor
    watch: DatabaseWatch
    pepper: bytes
    projects: Projects
    pipelines: Pipelines
    webhooks: Webhooks
    gitops: GitOps


def assemble(
    settings: ControlSettings, layout: Layout, store: SqlStore, url: str, permit: Leadership | Alone
) -> Control:
    """Make every part and tell it of the others. `url`: where the control API answers."""
    pepper = read_private(layout.pepper)
    blobs = open_blobs(settings, layout, lambda: fleet.bundles())  # noqa: PLW0108 - it is made below
    environments = Environments(
        layout.environments,
        locate_uv(),
        sys.executable,
        read_pip_settings(settings.variables, Path.home()),
        cache=Path(settings.variables.get("UV_CACHE_DIR") or layout.cache),
        nvidia=has_nvidia_driver(),
    )
    variables = clean_environment(settings.variables, str(layout.run))
    cgroups = find_groups(layout.home, os.getppid())
    zygotes = Zygotes(layout.run, layout.logs, BOOT, settings.lifeline, environments.python, variables, permit)
    readers = Readers(read_result, read_converted)
    local = LocalBackend(layout.run, layout.logs, zygotes, blobs, readers, permit, cgroups)
    backend, find, of_backend = choose(settings, layout, local, blobs.path, permit)
    budget = settings.memory_budget or int(machine_memory() * SHARE)
    fleet = Fleet(backend, find, Room(ELSEWHERE if settings.ray else budget))
    inputs = Inputs(store, store, settings.http, layout.admin_key, lambda *name: store.resolve(*name).number, time.time)
    feedback = Feedback(store, store, read_answer, time.time, inputs)
    scaler = Scaler(fleet)
    paths = [layout.gateway_socket(number) for number in range(1, settings.gateways + 1)]
    told = Told(stuck=fleet.stuck, loads=scaler.hear, ears=feedback)
    publisher = Publisher(paths, layout.table, told, permit)
    reconciler = Reconciler(fleet, publisher, partial(read_store, store), scaler)
    fleet.on_end = Endings(publisher, store).ended
    builder = Builder(environments, backend, blobs, settings.inspect_timeout_s)
    site = Site(
        http=settings.http,
        key_file=layout.admin_key,
        logs=layout.logs,
        staging=layout.staging,
        version=__version__,
    )
    collector = Collector(store, blobs, environments, permit)
    deployer = Deployer(store, store, blobs, builder, fleet, reconciler, collector)
    versions = Versions(store, store, store, blobs, collector, lambda: reconciler.desired.live, time.time)
    retentions = Retentions(store, collector, time.time)
    service = Service(site, store, fleet, reconciler, deployer, pepper, store, versions, feedback, retentions, store)
    eyes = Eyes(store, store, store, store, store, publisher.counters)
    here = {name: text for name, text in os.environ.items() if not name.startswith("INFERRY_")}
    here |= {"INFERRY_URL": url, "INFERRY_HOME": settings.home}
    hands = Hands(service, store, store, store, inputs, settings.http, layout.admin_key)
    pipelines = Pipelines(store, store, eyes, hands, time.time)
    watch = DatabaseWatch(store.probe, reconciler.refresh)
    leader = permit.told if isinstance(permit, Leadership) else None
    checks = make_checks(layout, store, blobs, fleet, reconciler, publisher, leader, settings.standbys, cgroups)
    return Control(
        store=store,
        blobs=blobs,
        builder=builder,
        collector=collector,
        environments=environments,
        backend=backend,
        fleet=fleet,
        publisher=publisher,
        reconciler=reconciler,
        service=service,
        status=Status(__version__, settings.http, store.called, watch, reconciler, leader),
        doctor=Doctor({**checks, **of_backend}),
        watch=watch,
        pepper=pepper,
        projects=Projects(store, store, store, store, service, service.delete_endpoint, pipelines.tell, time.time),
        pipelines=pipelines,
        webhooks=Webhooks(store, Messenger(), pepper, f"urn:inferry:{socket.gethostname()}", time.time),
        gitops=GitOps(store, Onlooker(LOOK, here), layout.staging, pepper, time.time),
    )


def read_answer(answer: Captured, signature: Signature) -> tuple[str, tuple[Prediction, ...]]:
    """What a model predicted. The doors' forms are imported with the first answer: most platforms keep none."""
    from inferry.protocols.glimpse import glimpse

    return glimpse(answer, signature)


async def serve(settings: ControlSettings) -> None:
    """Until a signal, or until the supervisor is gone."""
    loop = asyncio.get_running_loop()
    on_lifeline(loop, settings.lifeline, lambda: os._exit(0))
    layout = Layout(Path(settings.home), Path(settings.run))
    with os.fdopen(settings.database, encoding="utf-8") as handed:
        url = handed.read()
    tell = partial(told, settings.ready)
    if not url:
        await work(settings, layout, url, Alone(), tell)
        return
    follows = partial(say, settings.ready, READY) if settings.waits else lambda: None
    leadership = await Contest(layout, url, settings, follows, tell).lead()
    renewing = asyncio.create_task(leadership.run())
    try:
        await work(settings, layout, url, leadership, tell)
    except Superseded:
        leadership.lost.set()
    if leadership.lost.is_set():
        step_down()
    renewing.cancel()
    await leadership.release()


async def work(
    settings: ControlSettings, layout: Layout, url: str, permit: Leadership | Alone, tell: Callable[[str], None]
) -> None:
    """Until a signal, or until another process leads."""
    store = await open_patiently(layout, url, permit.epoch, tell)
    listener = socket.socket(fileno=settings.listener)
    control = assemble(settings, layout, store, address(listener), permit)
    await asyncio.to_thread(chores.ensure_keys, layout, store, control.pepper)
    await asyncio.to_thread(chores.sweep, layout, store, control.blobs, control.environments)
    control.publisher.start()
    await control.fleet.adopt()
    await control.reconciler.refresh()
    settling = asyncio.create_task(control.collector.alone(partial(settle, control.blobs, store, layout, url, tell)))
    await asyncio.wait({settling}, timeout=SETTLE_S)  # object storage may be slow; what runs does not wait for it
    if settling.done():
        settling.result()
    running = [settling, asyncio.create_task(restore(control))]
    running += [asyncio.create_task(forever(run)) for run in loops(control, layout)]
    api = await asyncio.to_thread(api_of, control, settings)
    server = http_server(api, http="httptools", keep_alive_s=30, drain_s=5)
    word = JOBS_KEPT if await asyncio.to_thread(store.has_jobs) else READY
    asyncio.get_running_loop().call_soon(announce, settings.ready, word)
    if isinstance(permit, Leadership):
        running.append(asyncio.create_task(ended(permit, server)))
    await server.serve(sockets=[listener])
    for task in running:
        task.cancel()
    if isinstance(permit, Leadership) and permit.lost.is_set():
        return
    await control.service.operations.close()
    await control.backend.close()
    store.close()


def loops(control: Control, layout: Layout) -> list[Callable[[], Awaitable[None]]]:
    """What control does all the time."""
    service = control.service
    return [
        control.reconciler.run,
        control.reconciler.scaler.run,
        control.fleet.room.run,
        Recycler(control.fleet).run,
        Fallback(service).run,
        service.rollouts.run,
        service.feedback.run,
        service.feedback.inputs.run,
        control.projects.run,
        control.pipelines.run,
        control.watch.run,
        service.retentions.run,
        service.experiments.run,
        control.webhooks.run,
        control.gitops.run,
        partial(keep_short, layout.logs),
    ]


def api_of(control: Control, settings: ControlSettings) -> Starlette:
    """The control API, imported here: the zygotes and replicas that were ordered start meanwhile."""
    from inferry.api.access import Guard
    from inferry.api.app import Api, build
    from inferry.api.gitops import Repositories
    from inferry.api.pipelines import Ladders
    from inferry.api.webhooks import Hooks

    api = Api(
        control.service,
        control.doctor,
        control.watch,
        settings.max_upload,
        Ladders(control.projects, control.pipelines),
        Hooks(control.webhooks),
        Repositories(control.gitops),
        control.status,
    )
    return build(api, Guard(lambda: control.reconciler.desired.keys, control.pepper, settings.hosts))


async def restore(control: Control) -> None:
    """Build the environments of what runs that are not there: the home was lost, or copied without them."""
    there = set(await asyncio.to_thread(control.environments.digests))
    for live in control.reconciler.desired.live:
        digest = live.version.manifest.environment.digest
        if digest != PLATFORM and digest not in there:
            try:
                await control.builder.restore(live.version, log.info)
            except InferryError as error:
                log.warning("the environment of %s is missing: %s", live.version.reference, error.sentence())
            control.fleet.failures.pop(live.group, None)
            control.fleet.changed.set()


async def ended(permit: Leadership, server: HttpServer) -> None:
    """Answer no more when another process leads."""
    await permit.lost.wait()
    server.config.timeout_graceful_shutdown = 1
    server.should_exit = True


def step_down() -> None:
    """End at once, with all that may still be under way: the supervisor starts this process anew, and it waits then."""
    log.warning("stepping down")
    logging.shutdown()
    os._exit(STEPPED_DOWN)


def told(descriptor: int, problem: str) -> None:
    """Tell the supervisor what is wrong."""
    say(descriptor, problem.encode())


def address(listener: socket.socket) -> str:
    """Where a listener answers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


if __name__ == "__main__":
    run("control", ControlSettings, serve)
