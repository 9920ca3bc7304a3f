"""Which backend runs the replicas: processes of this machine, or the nodes of a Ray cluster. Wiring only."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from inferry.backends.devices import find_devices
from inferry.backends.local import LocalBackend
from inferry.backends.ray import RayBackend
from inferry.backends.ray_cluster import Cluster, load
from inferry.compose.ray_host import Host
from inferry.compose.settings import ControlSettings, Layout
from inferry.compose.trust import Trust
from inferry.control.doctor import Check, Finding
from inferry.errors import InferryError
from inferry.interfaces.backend import Backend
from inferry.interfaces.lead import Permit
from inferry.security import tls
from inferry.security.authority import Authority
from inferry.security.files import write_private
from inferry.types.devices import Devices
from inferry.types.hosts import HostConfig
from inferry.version import __version__


class Chosen(NamedTuple):
    """A backend, what it has to compute on, and what the doctor looks at of it."""

    backend: Backend
    find: Callable[[], Devices]
    checks: Mapping[str, Check]


def choose(
    settings: ControlSettings, layout: Layout, local: LocalBackend, bundle_path: Callable[[str], Path], permit: Permit
) -> Chosen:
    """The backend of the settings. Raises MissingPlugin when a package of it is not installed."""
    if not settings.ray:
        return Chosen(local, find_devices, {})
    load()
    trust = Trust(Authority(layout.authority), layout.identity)
    trust.renewing = asyncio.create_task(trust.run())
    token = secrets.token_hex(32)
    write_private(layout.shared, token.encode())
    cluster = Cluster(settings.ray, f"inferry-{trust.platform}")
    config = HostConfig(version=__version__, platform=trust.platform, home=settings.home, token=token)
    dial = partial(tls.dial, asyncio.get_running_loop())
    backend = RayBackend(
        local, cluster, Host, config, trust, dial, bundle_path=bundle_path, placed=layout.placed, logs=layout.logs,
        permit=permit, place_s=settings.ray_place_s,
    )  # fmt: skip
    return Chosen(backend, cluster.devices, {"ray": partial(look, cluster)})


def look(cluster: Cluster) -> list[Finding]:
    """The cluster is there, and has nodes for replicas."""
    try:
        nodes = cluster.nodes()
    except InferryError as error:
        return [Finding("fail", error.message, error.help)]
    able = [node for node in nodes if node.total.get("CPU", 0)]
    detail = f"{len(nodes)} nodes at {cluster.address}, {len(able)} of them with processors for replicas"
    if not able:
        return [Finding("fail", detail, "Start nodes: ray start --address=HOST:PORT")]
    return [Finding("ok", detail)]
