"""Gateway process: uvicorn with our connection class, the core, the private socket. Wiring only."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from inferry import protos
from inferry.compose.process import HttpServer, announce, http_server, on_lifeline, run
from inferry.compose.settings import GatewaySettings, Layout
from inferry.gateway.admin import Admin
from inferry.gateway.app import App
from inferry.gateway.catalogue import Pages
from inferry.gateway.core import Core
from inferry.gateway.grpc import Server
from inferry.gateway.grpc_methods import make_methods
from inferry.gateway.head import Heads
from inferry.gateway.http import protocol_class
from inferry.gateway.http2 import Connection
from inferry.gateway.jobs import Jobs
from inferry.gateway.peers import Peers
from inferry.gateway.services import Services
from inferry.protocols import forms, metadata, openapi, pages
from inferry.security.files import read_private
from inferry.security.keys import KeyRing
from inferry.security.tls import connecting_context
from inferry.telemetry.metrics import Metrics
from inferry.types import frames
from inferry.types.identity import Identity
from inferry.types.routing import EndpointRoute, RevisionRoute
from inferry.version import __version__

log = logging.getLogger(__name__)

FIRST_TABLE_S = 10.0
DESCRIPTORS = Path(protos.__file__).with_name("descriptors.binpb")

FORMS = {
    frames.DOOR_OIP: forms.oip_error,
    frames.DOOR_PLAIN: forms.plain_error,
    frames.DOOR_PREDICT: forms.tfs_error,
    frames.DOOR_CLASSIFY: forms.tfs_error,
    frames.DOOR_REGRESS: forms.tfs_error,
    frames.DOOR_MLFLOW: forms.mlflow_error,
    frames.DOOR_MLFLOW_CSV: forms.mlflow_error,
    frames.DOOR_FILE: forms.plain_error,
    frames.DOOR_FORM: forms.plain_error,
    frames.DOOR_CSV: forms.plain_error,
    frames.DOOR_PREDICTIONS: forms.torchserve_error,
    frames.DOOR_SCORE: forms.message_error,
    frames.DOOR_HANDLER: forms.oip_error,
    frames.DOOR_INVOKE: forms.mlflow_error,
    **dict.fromkeys(frames.OPENAI, forms.openai_error),
}


def make_pages() -> Pages:
    """The renderers of the protocols room."""

    def model(endpoint: EndpointRoute, revision: RevisionRoute) -> dict[str, object]:
        versions = [known.version for known in endpoint.revisions]
        return metadata.model_metadata(endpoint.name, versions, revision.signature, revision.runtime)

    def config(endpoint: EndpointRoute, revision: RevisionRoute) -> dict[str, object]:
        return metadata.model_config(endpoint.name, revision.signature, revision.runtime)

    def servable(endpoint: EndpointRoute, revision: RevisionRoute) -> dict[str, object]:
        return metadata.servable_metadata(endpoint.name, revision.version, revision.signature)

    def describe(endpoint: EndpointRoute, revision: RevisionRoute, server: str) -> dict[str, object]:
        return openapi.openapi(
            endpoint.name, revision.version, revision.signature, revision.example, revision.answer, server
        )

    return Pages(
        server=partial(metadata.server_metadata, __version__),
        model=model,
        config=config,
        servable=servable,
        openapi=describe,
        asset=pages.asset,
    )


async def serve(settings: GatewaySettings) -> None:
    """Until a signal, or until the supervisor is gone."""
    layout = Layout(Path(settings.home), Path(settings.run))
    pepper = read_private(layout.pepper)
    loop = asyncio.get_running_loop()
    heads = Heads(settings.max_body)
    admin = Admin(layout.gateway_socket(settings.number), layout.table)
    own = Shown(layout.identity)
    core = Core(loop, lambda table: KeyRing(table.keys, pepper), Metrics(), admin.stuck, own.context)
    services = Services(core, heads, FORMS, settings.head_timeout_s, settings.body_timeout_s)
    shown = make_pages()
    jobs = Jobs(layout.jobs_socket)
    peers = Peers(core, settings.number, {n: layout.peer_socket(n) for n in range(1, settings.gateways + 1)})
    server = make_server(App(core, heads, shown, FORMS, admin.feedback, jobs, peers), services, settings.drain_s)
    grpc = make_grpc(core, shown, settings, peers)
    on_lifeline(loop, settings.lifeline, lambda: os._exit(0))
    await admin.start(core)
    await peers.start()
    if not await admin.given(FIRST_TABLE_S):  # callers wait in the listeners' queues meanwhile
        log.warning("control has given no routing table yet; requests are refused until it does")
    await add_grpc(server, grpc, socket.socket(fileno=settings.grpc))
    listener = socket.socket(fileno=settings.listener)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    sweeping = asyncio.create_task(sweep(services, grpc, settings.idle_timeout_s))
    gc.collect()
    gc.freeze()  # what is there now stays: the collector need not look at it again and again
    loop.call_soon(announce, settings.ready)
    await serving
    sweeping.cancel()
    peers.close()


class Shown:
    """The gateway's own certificate, which control puts into a file and changes each day."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0.0
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Of connections to replicas on other machines. Raises OSError when control has given no certificate yet."""
        changed = self._file.stat().st_mtime
        if self._context is None or changed != self._read:
            identity = msgspec.json.decode(read_private(self._file), type=Identity)
            self._context, self._read = connecting_context(identity), changed
        return self._context


def make_server(app: App, services: Services, drain_s: float) -> HttpServer:
    """A uvicorn server whose connections are ours."""
    return http_server(app, http=protocol_class(services), keep_alive_s=75, drain_s=drain_s)


def make_grpc(core: Core, pages: Pages, limits: GatewaySettings, peers: Peers | None = None) -> Server:
    """What all gRPC connections share."""
    methods = make_methods(core, pages, DESCRIPTORS.read_bytes, peers)
    return Server(core, methods, limits.max_body, limits.head_timeout_s, limits.body_timeout_s)


async def add_grpc(server: HttpServer, grpc: Server, listener: socket.socket) -> None:
    """Serve gRPC on its own port; the server drains its connections along with the rest."""
    loop = asyncio.get_running_loop()
    registry: set[Any] = server.server_state.connections
    server.others = [await loop.create_server(lambda: Connection(loop, grpc, registry), sock=listener)]


async def sweep(services: Services, grpc: Server, seconds: float) -> None:
    """Hang up on connections that do nothing, and let go of memory that lies idle."""
    while True:
        await asyncio.sleep(seconds)
        services.core.trim()
        for http in list(services.connections):
            http.sweep()
        for connection in list(grpc.connections):
            connection.sweep()


if __name__ == "__main__":
    run("gateway", GatewaySettings, serve)
