"""The methods of the gRPC port, by their path."""

from __future__ import annotations

from collections.abc import Mapping

from inferry.gateway.grpc import Method, infer_method
from inferry.gateway.grpc_targets import OipTarget


def make_methods() -> Mapping[bytes, Method]:
    """Path -> what answers it."""
    return {b"/inference.GRPCInferenceService/ModelInfer": infer_method(OipTarget())}
