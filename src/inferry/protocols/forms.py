"""Forms: an error in the body form of the door that was spoken to.

Data flow: InferryError -> bytes. The gateway uses these for what it refuses itself, the
codecs for what a replica refuses, so both look the same to a client. Light on purpose:
no numpy here.
"""

from __future__ import annotations

import msgspec

from inferry.errors import InferryError, NotFound
from inferry.types.protobuf import delimited, integer


def grpc_error(error: InferryError) -> bytes:
    """The form of all gRPC services: a google.rpc.Status."""
    return integer(1, error.grpc) + delimited(2, error.sentence().encode(errors="replace"))


def oip_error(error: InferryError) -> bytes:
    """The Open Inference Protocol's form: one sentence under `error`."""
    return msgspec.json.encode({"error": error.sentence()})


def plain_error(error: InferryError) -> bytes:
    """The form of the plain door and the control API: a code, a sentence and what to do."""
    body = {"code": error.code, "message": error.message}
    if error.help:
        body["help"] = error.help
    return msgspec.json.encode({"error": body})


def tfs_error(error: InferryError) -> bytes:
    """The form of TensorFlow Serving and KServe v1: one sentence under `error`, in TensorFlow's words for a 404."""
    if not isinstance(error, NotFound) or not error.endpoint:
        return oip_error(error)
    wanted = f"Specific({error.endpoint}, {error.version})" if error.version else f"Latest({error.endpoint})"
    return msgspec.json.encode({"error": f"Servable not found for request: {wanted}. {error.help}"})


MLFLOW_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    429: "REQUEST_LIMIT_EXCEEDED",
    501: "NOT_IMPLEMENTED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Status -> MLflow's word for it; others are BAD_REQUEST or INTERNAL_ERROR."""


def mlflow_error(error: InferryError, code: str = "") -> bytes:
    """MLflow's form: a code and one sentence."""
    code = code or MLFLOW_CODES.get(error.status, "BAD_REQUEST" if error.status < 500 else "INTERNAL_ERROR")
    return msgspec.json.encode({"error_code": code, "message": error.sentence()})
