"""OpenAPI: an endpoint described by a machine-readable document (OpenAPI 3.1).

Data flow: signature + a real example and its answer -> JSON Schemas of a row, a column and
an answer -> the document behind GET /endpoints/{name}/openapi.json, which the docs page
renders and client generators read. `x-inferry-signature` is the signature itself. Light on purpose: no numpy here.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from inferry.protocols.schemas import (
    answer_schema,
    body_schema,
    infer_request_schema,
    infer_response_schema,
    row_schema,
)
from inferry.types.signature import NO_EXAMPLE, Signature

JSON = dict[str, Any]

PROBLEMS = {
    "400": "The request does not fit the model; the message says where and what to do.",
    "401": "No key, or one that is not known.",
    "403": "The key may not call this endpoint.",
    "404": "There is no such endpoint.",
    "413": "The body is too large.",
    "429": "Too many requests are waiting; come back after Retry-After seconds.",
    "500": "The model failed on this input.",
    "503": "Nothing can answer right now; come back after Retry-After seconds.",
    "504": "No answer in time.",
}


def openapi(endpoint: str, version: int, signature: Signature, example: Raw, answer: Any, server_url: str) -> JSON:
    """The document for one endpoint. `example` is a body that works, `answer` what came back."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": endpoint,
            "version": str(version),
            "description": f"Predictions of `{endpoint}`, served by Inferry.",
        },
        "x-inferry-signature": msgspec.to_builtins(signature),
        "servers": [{"url": server_url}],
        "security": [{"key": []}],
        "paths": {
            f"/predict/{endpoint}": {"post": _predict(signature, example, answer)},
            f"/v2/models/{endpoint}": {"get": _get("The model's inputs and outputs", "metadata", "object")},
            f"/v2/models/{endpoint}/ready": {"get": _get("Whether the model can answer now", "ready", "object")},
            f"/v2/models/{endpoint}/infer": {"post": _infer()},
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An Inferry API key"}},
            "schemas": {
                "Input": body_schema(signature),
                "Answer": answer_schema(signature),
                "InferRequest": infer_request_schema(signature),
                "InferResponse": infer_response_schema(),
                "Problem": _PROBLEM,
                "InferProblem": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                },
            },
        },
    }


_PROBLEM: JSON = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "description": "What is wrong"},
                "help": {"type": "string", "description": "What to do"},
            },
        }
    },
}


def _predict(signature: Signature, example: Raw, answer: Any) -> JSON:
    body: JSON = {"schema": _ref("Input")}
    reply: JSON = {"schema": _ref("Answer")}
    if example != NO_EXAMPLE:
        body["example"] = example
    if answer is not None:
        reply["example"] = answer
    return {
        "operationId": "predict",
        "summary": "Predict from plain JSON",
        "description": _forms(signature),
        "requestBody": {"required": True, "content": {"application/json": body} | _files(signature)},
        "responses": {"200": _content("One prediction a row", reply)} | _problems("Problem"),
    }


def _files(signature: Signature) -> JSON:
    """The other bodies that `/predict` takes: files, forms, tables."""
    if signature.kind == "table":
        tables = ("text/csv", "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream")
        return {media: {"schema": {}} for media in tables}
    if not any(spec.takes_files for spec in signature.inputs):
        return {}
    binary: JSON = {"type": "string", "contentMediaType": "application/octet-stream"}
    fields = {spec.name: binary if spec.takes_files else row_schema(spec) for spec in signature.inputs}
    form: JSON = {"schema": {"type": "object", "properties": fields}}
    if len(signature.inputs) > 1:
        return {"multipart/form-data": form}
    media = ("image/png", "image/jpeg") if signature.inputs[0].image else ("audio/wav",)
    return {name: {"schema": {}} for name in media} | {"multipart/form-data": form}


def _infer() -> JSON:
    return {
        "operationId": "infer",
        "summary": "Predict by the Open Inference Protocol v2",
        "description": "JSON, or binary tensors behind it: Inference-Header-Content-Length is then the JSON's size.",
        "parameters": [
            {
                "name": "Inference-Header-Content-Length",
                "in": "header",
                "required": False,
                "schema": {"type": "integer", "minimum": 1},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _ref("InferRequest")},
                "application/octet-stream": {"schema": {}},
            },
        },
        "responses": {"200": _content("The outputs", {"schema": _ref("InferResponse")})} | _problems("InferProblem"),
    }


def _get(summary: str, operation: str, kind: str) -> JSON:
    reply = {"200": _content(summary, {"schema": {"type": kind}})}
    return {"operationId": operation, "summary": summary, "responses": reply | _problems("InferProblem", "401", "404")}


def _problems(schema: str, *only: str) -> JSON:
    statuses = only or tuple(PROBLEMS)
    return {status: _content(PROBLEMS[status], {"schema": _ref(schema)}) for status in statuses}


def _content(description: str, body: JSON) -> JSON:
    return {"description": description, "content": {"application/json": body}}


def _ref(name: str) -> JSON:
    return {"$ref": f"#/components/schemas/{name}"}


def _forms(signature: Signature) -> str:
    if signature.kind == "open":
        return "Any JSON value that the model understands."
    return (
        "A list of records, a list of rows, columns (or named arrays), one record or one row, "
        "as it is or under the key `inputs`."
    )
