"""A gRPC client in memory: calls as bytes to a `Server` over a core that the test answers for."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from inferry.errors import InferryError, Unauthorized
from inferry.gateway import http2_frames as h2
from inferry.gateway.grpc import Server
from inferry.gateway.grpc_methods import make_methods
from inferry.types import frames
from tests.support.http2_peer import Peer, headers
from tests.support.protos import DESCRIPTORS

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
KEY = b"Bearer key"
MAX_MESSAGE = 1 << 20


class Asked:
    """One request that the gateway handed to the core."""

    def __init__(self, asker: Any, head: Any, body: Any) -> None:
        self.asker, self.head, self.body = asker, head, body

    def answer(self, body: bytes = b"", *, status: int = 200, content: int = frames.CONTENT_PROTO) -> None:
        self.asker.answer(self.head, Core.REVISION, frames.Reply(1, frames.RESULT, content, status, body=body))

    def part(self, body: bytes) -> None:
        self.asker.part(self.head, Core.REVISION, frames.Reply(1, frames.PART, frames.CONTENT_PROTO, body=body))

    def refuse(self, error: InferryError) -> None:
        self.asker.refuse(self.head, error)


class Core:
    """Takes requests and answers none; `asked` and `cancelled` are what the test looks at."""

    REVISION = type("Revision", (), {"version": b"3", "cold_ms": 0})

    def __init__(self) -> None:
        self.ring = self
        self.endpoints: dict[bytes, Any] = {}
        self.asked: list[Asked] = []
        self.cancelled: list[Asked] = []
        self.refusal: InferryError | None = None

    def check(self, authorization: bytes, now: float) -> None:
        if authorization != KEY:
            raise Unauthorized("This needs an API key.")

    def admit(self, head: Any) -> None:
        self.check(head.authorization, 0.0)
        if self.refusal is not None:
            raise self.refusal

    def receive(self, head: Any) -> bytearray:
        return bytearray(head.length)

    def submit(self, asker: Any, head: Any, body: Any) -> Any:
        try:
            self.admit(head)
        except InferryError as error:
            asker.refuse(head, error)
            return None
        self.asked.append(Asked(asker, head, body))
        return self.asked[-1]

    def cancel(self, pending: Any) -> None:
        self.cancelled.append(pending)


class Caller(Peer):
    """A client's connection to the gRPC server."""

    def __init__(self) -> None:
        self.core = Core()
        super().__init__()

    def make_service(self) -> Server:
        methods = make_methods(self.core, None, lambda: DESCRIPTORS)  # type: ignore[arg-type]
        return Server(self.core, methods, MAX_MESSAGE, 10.0, 60.0)  # type: ignore[arg-type]

    def ended(self) -> list[tuple[int, int, str]]:
        """Calls that ended since the last look: stream, status, message."""
        return [
            (stream, int(fields[b"grpc-status"]), unquote(fields.get(b"grpc-message", b"").decode()))
            for kind, stream, fields in (one for one in self.said() if len(one) == 3)
            if kind == "end"
        ]

    def messages(self, stream: int) -> tuple[list[bytes], dict[bytes, bytes] | None]:
        """A stream's messages since the last look, and the fields that end it."""
        data, end = b"", None
        for kind, number, what in (one for one in self.said() if len(one) == 3):
            if number == stream and kind == "data":
                data += what
            elif number == stream and kind == "end":
                end = what
        found = []
        while data:
            size = int.from_bytes(data[1:5], "big")
            found.append(data[5 : 5 + size])
            data = data[5 + size :]
        return found, end


def fields(path: str = INFER, **more: bytes | None) -> list[tuple[bytes, bytes]]:
    """The fields of a call; `more` adds some, or takes one away."""
    usual: dict[bytes, bytes | None] = {
        b":method": b"POST", b":scheme": b"http", b":path": path.encode(), b":authority": b"x", b"te": b"trailers",
        b"content-type": b"application/grpc", b"authorization": KEY,
    }  # fmt: skip
    changed = {name.replace("_", "-").encode(): value for name, value in more.items()}
    pseudo = {b":" + name: changed.pop(name) for name in (b"method",) if name in changed}
    return [(name, value) for name, value in (usual | pseudo | changed).items() if value is not None]


def framed(message: bytes, flag: int = 0) -> bytes:
    """A message with its prefix."""
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


def call(stream: int, data: bytes, path: str = INFER, *, end: bool = True, **more: bytes | None) -> bytes:
    """A call whose DATA is `data`."""
    return headers(stream, fields(path, **more)) + h2.frame(h2.DATA, h2.END_STREAM if end else 0, stream, data)
