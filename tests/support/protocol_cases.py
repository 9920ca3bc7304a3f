"""Signatures and request frames that the protocol tests share."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from inferry.interfaces.codec import Encoded
from inferry.types.frames import CONTENT_BINARY, DOOR_OIP, INFER, Request
from inferry.types.signature import Signature, TensorSpec

SIMDJSON = pytest.mark.skipif(sys.version_info >= (3, 14), reason="simdjson has no wheels for it")


def spec(name: str, datatype: str = "FP64", shape: tuple[int, ...] = (-1,), **more: Any) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=shape, **more)


def request(body: bytes | Any, json_size: int = 0, version: str = "3") -> Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(1, INFER, DOOR_OIP, 0, json_size, 0, "fraud", version, data)


def read(encoded: Encoded) -> Any:
    assert encoded.json_size == 0
    return json.loads(encoded.body)


def read_binary(encoded: Encoded) -> tuple[Any, bytes]:
    assert encoded.content == CONTENT_BINARY
    return json.loads(encoded.body[: encoded.json_size]), encoded.body[encoded.json_size :]


CLASSES = (
    spec("label", "BYTES"),
    spec("probabilities", "FP32", (-1, 2), labels=("no", "yes")),
)
IRIS = Signature(kind="tensors", inputs=(spec("x", "FP32", (-1, 4)),), outputs=CLASSES, batchable=True)
PEOPLE = Signature(
    kind="table",
    inputs=(
        spec("age"),
        spec("job", "BYTES", categories=("clerk", "baker"), closed=True),
        spec("visits", "INT64"),
        spec("member", "BOOL"),
        spec("income", nullable=True),
        spec("note", "BYTES", nullable=True),
    ),
    outputs=CLASSES,
    batchable=True,
)
PERSON = {"age": 41, "job": "clerk", "visits": 3, "member": True, "income": None, "note": "hi"}
ONE_COLUMN = Signature(kind="table", inputs=(spec("age"),), outputs=(spec("y"),), batchable=True)
TWO = Signature(
    kind="tensors",
    inputs=(spec("text", "BYTES"), spec("vector", "FP32", (-1, 3))),
    outputs=(spec("y", "FP32", (-1, 1)), spec("z", "FP32", (-1, 2))),
    batchable=True,
)
COLUMNS_2D = Signature(
    kind="tensors",
    inputs=(spec("age", "FP32", (-1, 1)), spec("job", "BYTES", (-1, 1))),
    outputs=(spec("y", "FP32", (-1, 1)),),
    batchable=True,
)
IMAGE = Signature(kind="tensors", inputs=(spec("image", "UINT8", (1, 2, 2)),), outputs=(spec("y", "FP32", (1, 3)),))
FIXED = Signature(
    kind="tensors", inputs=(spec("v", "FP32", (3,)), spec("k", "INT64", ())), outputs=(spec("y", "FP32", (3,)),)
)
OPEN = Signature(kind="open")
EVERY = {
    "iris": IRIS, "people": PEOPLE, "one column": ONE_COLUMN, "two": TWO, "columns 2d": COLUMNS_2D,
    "image": IMAGE, "fixed": FIXED, "open": OPEN,
}  # fmt: skip

CLASS_ANSWER = {
    "label": np.array(["no", "yes"], dtype=object),
    "probabilities": np.array([[0.75, 0.25], [0.5, 0.5]], dtype=np.float32),
}
