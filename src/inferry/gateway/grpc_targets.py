"""Targets: which endpoint and version a gRPC prediction is for, read from the first bytes of its message.

Data flow: message -> `prefix`: where the fields that name the target end (writers put them first)
-> `target`: those fields' values. Of a large message `tensor_at` finds where its first tensor
begins, by the lengths of what is before it. Nothing else is looked at.
"""

from __future__ import annotations

import contextlib

from inferry.types import frames
from inferry.types.protobuf import BYTES, WireError, fields, read_varint, signed, submessages

NAME_TAG, VERSION_TAG, RAW_TAG = 0x0A, 0x12, 0x3A
LABELS = (b"latest", b"stable")


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

    def tensor_at(self, body: memoryview) -> int:
        """The beginning of the first of the raw_input_contents."""
        at = 0
        with contextlib.suppress(WireError):  # the length is not all here
            while at < len(body) and body[at] & 7 == BYTES and body[at] < 0x80:
                tag = body[at]
                size, at = read_varint(body, at + 1)
                if tag == RAW_TAG:
                    return at
                at += size
        return 0


class TfsTarget:
    """PredictRequest: model_spec = 1, a ModelSpec of name = 1, version = 2 (an Int64Value), version_label = 4."""

    number = frames.DOOR_TFS

    def prefix(self, body: bytes) -> int:
        """The end of the model_spec."""
        return 2 + body[1] if body[0] == NAME_TAG and body[1] < 0x80 else 0

    def target(self, body: memoryview) -> tuple[bytes, bytes]:
        """Name and version. The labels `latest` and `stable`, and version 0, are what is served."""
        name = version = b""
        for spec in submessages(body, 1):
            for number, wire, value in fields(spec):
                if wire == BYTES and isinstance(value, memoryview):
                    if number == 1:
                        name = bytes(value)
                    elif number == 2:
                        version = number_of(value)
                    elif number == 4:
                        version = b"" if bytes(value) in LABELS else bytes(value)
        return name, version

    def tensor_at(self, body: memoryview) -> int:  # noqa: ARG002 - tensors are nested here, and not looked for
        """Not told."""
        return 0


def number_of(wrapper: memoryview) -> bytes:
    """The text of an Int64Value, none for 0."""
    value = next((signed(value) for number, _, value in fields(wrapper) if number == 1 and isinstance(value, int)), 0)
    return b"%d" % value if value else b""
