"""A model, a codec and a peer for the replica's tests; run as a program, a whole replica process.

python -m tests.support.fake_model LISTENER LIFELINE GATE [IDENTITY]
(inherited descriptors) serves `x -> 2x`; the values below make it misbehave. With an identity (JSON) the listener is a
TCP one, and peers come with TLS.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InferryError, InvalidInput
from inferry.interfaces.codec import Call, Encoded
from inferry.replica.engine import Engine
from inferry.replica.server import Server
from inferry.security.tls import listening_context
from inferry.types import frames
from inferry.types.identity import Identity
from inferry.types.signature import Signature, TensorSpec

POISON, LEAVE, GATE, DIE = 666.0, 667.0, 668.0, 669.0
DOOR = frames.DOOR_PLAIN

SIGNATURE = Signature(
    kind="tensors",
    inputs=(TensorSpec(name="x", datatype="FP64", shape=(-1,)),),
    outputs=(TensorSpec(name="y", datatype="FP64", shape=(-1,)),),
    batchable=True,
)


class FakeCodec:
    """Bodies are JSON lists of numbers. `bug` is a bug of the codec, `unwritable` one in writing."""

    def decode(self, request: frames.Request) -> Call:
        if request.body == b"bug":
            raise RuntimeError("a bug in the codec")
        if request.body == b"unwritable":
            return Call({"x": np.zeros(1)}, 1, id="unwritable")
        try:
            rows = json.loads(request.body)
        except ValueError as error:
            raise InvalidInput("not a list") from error
        return Call({"x": np.array(rows, dtype=np.float64)}, len(rows))

    def encode(self, call: Call, outputs: Any) -> Encoded:
        if call.id == "unwritable":
            raise TypeError("cannot be written")
        return Encoded(frames.CONTENT_JSON, 0, json.dumps(outputs["y"].tolist()).encode())

    def refuse(self, error: InferryError) -> bytes:
        return json.dumps({"code": error.code, "message": error.message}).encode()


class FakeModel:
    """Doubles; `seen` are the sizes of its calls, `said` the codes told by `gate`."""

    def __init__(self, gate: int = -1) -> None:
        self.seen: list[int] = []
        self.gate = gate

    def describe(self, sample: object) -> Any:
        raise NotImplementedError

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        values = inputs["x"]
        self.seen.append(len(values))
        if POISON in values:
            raise ValueError("poison")
        if LEAVE in values:
            sys.exit(3)
        if DIE in values:
            os._exit(9)
        if GATE in values:
            os.write(self.gate, b"in")  # the test now knows that the model runs ...
            os.read(self.gate, 1)  # ... and says when it may end
        return {"y": values * 2}


class FakePeer:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.replies: list[frames.Reply] = []

    def answer(self, reply: frames.Reply) -> None:
        self.replies.append(reply)

    def begin(self, request_id: int) -> None:
        self.begun.append(request_id)


if __name__ == "__main__":
    listener, lifeline, gate = (int(text) for text in sys.argv[1:4])
    identities = [msgspec.json.decode(text, type=Identity) for text in sys.argv[4:]]
    Server(
        socket.socket(fileno=listener),
        lifeline,
        Engine(FakeModel(gate), SIGNATURE, {DOOR: FakeCodec()}),
        lambda: {"pid": os.getpid()},
        listening_context(identities[0]) if identities else None,
    ).run()
