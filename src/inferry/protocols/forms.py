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


TORCHSERVE_TYPES = {404: "ModelNotFoundException", 400: "BadRequestException", 503: "ServiceUnavailableException"}


def torchserve_error(error: InferryError) -> bytes:
    """TorchServe's form: the status, the name of an exception and one sentence."""
    default = "BadRequestException" if error.status < 500 else "InternalServerException"
    kind = TORCHSERVE_TYPES.get(error.status, default)
    return msgspec.json.encode({"code": error.status, "type": kind, "message": error.sentence()})


def message_error(error: InferryError) -> bytes:
    """Azure ML's form: one sentence under `message`."""
    return msgspec.json.encode({"message": error.sentence()})


OPENAI_TYPES = {
    401: "invalid_request_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}


def openai_error(error: InferryError) -> bytes:
    """OpenAI's form: a sentence, the kind of error, the field at fault and a code."""
    default = "invalid_request_error" if error.status < 500 else "server_error"
    code, param = error.code, error.param or None
    if error.status == 401:
        code = "invalid_api_key"
    elif isinstance(error, NotFound) and error.endpoint:
        code, param = "model_not_found", "model"
    kind = OPENAI_TYPES.get(error.status, default)
    return msgspec.json.encode({"error": {"message": error.sentence(), "type": kind, "param": param, "code": code}})


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
