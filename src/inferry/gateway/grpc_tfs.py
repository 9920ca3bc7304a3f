"""TensorFlow Serving by gRPC: PredictionService and ModelService, by their methods' paths.

Data flow: Predict is forwarded as ModelInfer is; what tells of a model are the same facts as on
the REST routes, as messages. Version 0, as some clients write it, and the labels `latest` and
`stable` name what is served.
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
from inferry.gateway.grpc_targets import TfsTarget
from inferry.gateway.grpc_tell import Question, caller, refuses, tells
from inferry.gateway.live import LiveEndpoint, LiveRevision
from inferry.types.messages import Messages

PACKAGE = "tensorflow.serving"
FIELD = "signature_def"
ANY = f"type.googleapis.com/{PACKAGE}.SignatureDefMap"

PREDICT = "Ask with Predict: it takes and gives tensors by name."
NOT_OFFERED = {
    "PredictionService/Classify": PREDICT,
    "PredictionService/Regress": PREDICT,
    "PredictionService/MultiInference": PREDICT,
    "ModelService/HandleReloadConfigRequest": "What is served changes with: inferry deploy, rollback and delete.",
}


@dataclass(frozen=True, kw_only=True)
class Tfs:
    """What the services tell."""

    core: Core
    pages: Pages
    messages: Messages

    def status(self, asked: Asked, values: dict[str, Any]) -> dict[str, Any]:
        """The versions of a model and whether they can answer."""
        named, endpoint, revision = self._find(asked, values)
        told = lookup.versions([revision] if named else endpoint.revisions)
        return {
            "model_version_status": [
                {"version": version, "state": "AVAILABLE" if ready else "LOADING", "status": {}}
                for version, ready in told
            ]
        }

    def metadata(self, asked: Asked, values: dict[str, Any]) -> dict[str, Any]:
        """The signature of a model."""
        wanted = values.get("metadata_field", [])
        if wanted != [FIELD]:
            raise InvalidInput("The metadata_field is not known.", help=f"Ask for {FIELD}, and for nothing else.")
        _, endpoint, revision = self._find(asked, values)
        shown = self.pages.servable(endpoint.plan, revision.plan)
        map = self.messages.encode(f"{PACKAGE}.SignatureDefMap", shown["metadata"][FIELD])
        spec = {"name": endpoint.plan.name, "version": {"value": revision.plan.version}}
        return {"model_spec": spec, "metadata": {FIELD: {"type_url": ANY, "value": map}}}

    def _find(self, asked: Asked, values: dict[str, Any]) -> tuple[bool, LiveEndpoint, LiveRevision]:
        """Whether a version was named, and what was."""
        key, spec = caller(self.core, asked), values.get("model_spec", {})
        if not spec.get("name"):
            raise InvalidInput("The request has no model_spec with a name.", help="Name the endpoint there.")
        if "version_label" in spec:
            lookup.check_label(spec["version_label"])
        number = spec.get("version", {}).get("value", 0)
        version = str(number) if number else ""
        return bool(version) or "version_label" in spec, *lookup.find(self.core, key, spec["name"], version)


def methods(core: Core, pages: Pages, messages: Messages) -> Mapping[bytes, Method]:
    """Path -> method."""
    tfs, door = Tfs(core=core, pages=pages, messages=messages), TfsTarget()
    told = {
        "PredictionService/GetModelMetadata": tfs.metadata,
        "ModelService/GetModelStatus": tfs.status,
    }

    def named() -> Iterator[tuple[str, Method]]:
        yield "PredictionService/Predict", lambda server, asked: partial(Infer, door, server, asked)
        for path, tell in told.items():
            name = f"{PACKAGE}.{path.partition('/')[2]}"
            question = Question(messages=messages, request=f"{name}Request", response=f"{name}Response", tell=tell)
            yield path, tells(question)
        for path, help in NOT_OFFERED.items():
            yield path, refuses(Unsupported(f"{path.partition('/')[2]} is not offered.", help=help))

    return {f"/{PACKAGE}.{path}".encode(): method for path, method in named()}
