"""The methods of inference.GRPCInferenceService, by their path.

Data flow: the same tables, renderers and counters as the HTTP routes of the protocol -> dicts
-> messages. What the protocol has and we do not is refused with what to do in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from inferry.errors import InvalidInput, Unsupported
from inferry.gateway import lookup
from inferry.gateway.catalogue import Pages
from inferry.gateway.core import Core
from inferry.gateway.grpc import Asked, Method
from inferry.gateway.grpc_infer import Infer
from inferry.gateway.grpc_stream import StreamInfer
from inferry.gateway.grpc_targets import OipTarget
from inferry.gateway.grpc_tell import LongQuestion, Question, caller, refuses, tells, tells_later
from inferry.gateway.peers import Peers
from inferry.types.messages import Messages

SERVICE = "inference.GRPCInferenceService"

DEPLOY = "Deploy with: inferry deploy. Models are loaded and unloaded by what is deployed and deleted."
LOGS = "Read them with: inferry logs NAME."
BYTES = "Send and take tensors as bytes."
NOT_OFFERED = {
    "RepositoryModelLoad": DEPLOY,
    "RepositoryModelUnload": DEPLOY,
    "TraceSetting": "Read the metrics at /metrics on the HTTP port.",
    "LogSettings": LOGS,
    "SystemSharedMemoryStatus": BYTES,
    "SystemSharedMemoryRegister": BYTES,
    "SystemSharedMemoryUnregister": BYTES,
    "CudaSharedMemoryStatus": BYTES,
    "CudaSharedMemoryRegister": BYTES,
    "CudaSharedMemoryUnregister": BYTES,
}


@dataclass(frozen=True, kw_only=True)
class Oip:
    """What the service tells."""

    core: Core
    pages: Pages
    peers: Peers

    def server_live(self, _asked: Asked, _values: dict[str, Any]) -> dict[str, Any]:
        """Whether it runs."""
        return {"live": True}

    def server_ready(self, _asked: Asked, _values: dict[str, Any]) -> dict[str, Any]:
        """Whether it takes predictions."""
        return {"ready": True}

    def model_ready(self, asked: Asked, values: dict[str, Any]) -> dict[str, Any]:
        """Whether a replica can answer."""
        _, revision = self._find(asked, values)
        return {"ready": lookup.is_ready(revision)}

    def server_metadata(self, asked: Asked, _values: dict[str, Any]) -> dict[str, Any]:
        """Name, version, extensions."""
        caller(self.core, asked)
        return self.pages.server()

    def model_metadata(self, asked: Asked, values: dict[str, Any]) -> dict[str, Any]:
        """Inputs and outputs."""
        endpoint, revision = self._find(asked, values)
        return self.pages.model(endpoint.plan, revision.plan)

    def model_config(self, asked: Asked, values: dict[str, Any]) -> dict[str, Any]:
        """Inputs and outputs in Triton's words."""
        endpoint, revision = self._find(asked, values)
        return {"config": self.pages.config(endpoint.plan, revision.plan)}

    async def model_statistics(self, asked: Asked, values: dict[str, Any]) -> dict[str, Any]:
        """Counters, of all gateways."""
        key = caller(self.core, asked)
        return await lookup.statistics(self.core, self.peers, key, values.get("name", ""), values.get("version", ""))

    def repository_index(self, asked: Asked, values: dict[str, Any]) -> dict[str, Any]:
        """What there is."""
        rows = lookup.index(self.core, caller(self.core, asked))
        return {"models": [row for row in rows if row["state"] == "READY" or not values.get("ready")]}

    def _find(self, asked: Asked, values: dict[str, Any]) -> Any:
        key, name = caller(self.core, asked), values.get("name", "")
        if not name:
            raise InvalidInput("The request names no model.", help="RepositoryIndex lists what is served.")
        return lookup.find(self.core, key, name, values.get("version", ""))


def methods(core: Core, pages: Pages, peers: Peers, messages: Messages) -> Mapping[bytes, Method]:
    """Path -> method."""
    oip, door = Oip(core=core, pages=pages, peers=peers), OipTarget()
    told = {
        "ServerLive": oip.server_live,
        "ServerReady": oip.server_ready,
        "ModelReady": oip.model_ready,
        "ServerMetadata": oip.server_metadata,
        "ModelMetadata": oip.model_metadata,
        "ModelConfig": oip.model_config,
        "RepositoryIndex": oip.repository_index,
    }

    def named() -> Iterator[tuple[str, Method]]:
        yield "ModelInfer", lambda server, asked: partial(Infer, door, server, asked)
        yield "ModelStreamInfer", lambda server, asked: partial(StreamInfer, door, server, asked)
        for name, tell in told.items():
            request, response = f"inference.{name}Request", f"inference.{name}Response"
            yield name, tells(Question(messages=messages, request=request, response=response, tell=tell))
        request, response = "inference.ModelStatisticsRequest", "inference.ModelStatisticsResponse"
        statistics = LongQuestion(messages=messages, request=request, response=response, tell=oip.model_statistics)
        yield "ModelStatistics", tells_later(statistics)
        for name, help in NOT_OFFERED.items():
            yield name, refuses(Unsupported(f"{name} is not offered.", help=help))

    return {f"/{SERVICE}/{name}".encode(): method for name, method in named()}
