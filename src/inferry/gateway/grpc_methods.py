"""All methods of the gRPC port, by their path."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from inferry.gateway import grpc_health, grpc_oip, grpc_reflection, grpc_tfs
from inferry.gateway.catalogue import Pages
from inferry.gateway.core import Core
from inferry.gateway.grpc import Method
from inferry.gateway.peers import Peers
from inferry.types.messages import Messages


def make_methods(
    core: Core, pages: Pages, descriptors: Callable[[], bytes], peers: Peers | None = None
) -> Mapping[bytes, Method]:
    """Path -> what answers it. `descriptors` reads the descriptors of the protocols, on first use; `peers`: None for a
    gateway that is alone."""
    peers = peers or Peers(core)
    messages = Messages(descriptors)
    served = {**grpc_oip.methods(core, pages, peers, messages), **grpc_tfs.methods(core, pages, messages)}
    services = {path.decode().split("/")[1] for path in served}
    return {**served, **grpc_health.methods(messages, services), **grpc_reflection.methods(messages)}
