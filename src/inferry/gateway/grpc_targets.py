"""Targets: which endpoint and version a gRPC prediction is for, read from the first bytes of its message.

Data flow: message -> `prefix`: where the fields that name the target end (writers put them first)
-> `target`: those fields' values. Nothing behind them is looked at.
"""

from __future__ import annotations

from inferry.types import frames
from inferry.types.protobuf import BYTES, fields

NAME_TAG, VERSION_TAG = 0x0A, 0x12


class OipTarget:
    """ModelInferRequest: model_name = 1, model_version = 2."""

    number = frames.DOOR_GRPC

    def prefix(self, body: bytes) -> int:
        """The end of the name and, when it follows, the version."""
        if body[0] != NAME_TAG or body[1] > 0x7F:
            return 0
        end = 2 + body[1]
        if body[end] == VERSION_TAG:
            if body[end + 1] > 0x7F:
                return 0
            end += 2 + body[end + 1]
        return end

    def target(self, body: memoryview) -> tuple[bytes, bytes]:
        """The last name and version there are."""
        name = version = b""
        for number, wire, value in fields(body):
            if wire == BYTES and isinstance(value, memoryview):
                if number == 1:
                    name = bytes(value)
                elif number == 2:
                    version = bytes(value)
        return name, version
