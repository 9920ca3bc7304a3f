"""Answers of the Open Inference Protocol v2 whose outputs are all numbers, for calls that ran together.

Data flow: outputs with the rows of all calls -> their bytes or their lists, once -> `Write`: of each call its own
rows behind the JSON that tells of them. That JSON depends on nothing but names and shapes when the numbers come in
binary, and is kept for the next answer of the same form.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import msgspec

from inferry.interfaces.codec import Call, Encoded
from inferry.protocols import answers
from inferry.protocols.plans import keep
from inferry.protocols.tensors import Array
from inferry.types.frames import CONTENT_BINARY, CONTENT_JSON

Found = list[tuple[str, Array, str]]
"""Outputs: name, array, datatype."""
Write = Callable[[Call, int], Encoded]
"""Writes the answer to a call whose rows begin at this one."""


class Written(msgspec.Struct, omit_defaults=True):
    """An output in the answer's JSON."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None


class Answer(msgspec.Struct, omit_defaults=True):
    """The answer's JSON."""

    model_name: str
    model_version: str
    outputs: list[Written]
    id: str = ""


def binary_writer(found: Found, heads: dict[Any, bytes]) -> Write:
    """For answers in binary; their JSON is kept in `heads`."""
    blobs = [(array.tobytes(), array.nbytes // len(array)) for _, array, _ in found]
    shapes = tuple([(name, datatype, array.shape[1:]) for name, array, datatype in found])

    def head_of(call: Call) -> bytes:
        written = [
            Written(name, datatype, (call.rows, *shape), {"binary_data_size": size * call.rows})
            for (name, datatype, shape), (_, size) in zip(shapes, blobs, strict=True)
        ]
        head = answers.write(Answer(call.name, call.version, written))
        keep(heads, (call.name, call.version, call.rows, shapes), head)
        return head

    def write(call: Call, start: int) -> Encoded:
        stop = start + call.rows
        head = heads.get((call.name, call.version, call.rows, shapes)) or head_of(call)
        if call.id:
            head = b'%b,"id":%b}' % (head[:-1], answers.write(call.id))
        body = b"".join((head, *[blob[start * size : stop * size] for blob, size in blobs]))
        return Encoded(CONTENT_BINARY, len(head), body)

    return write


def json_writer(found: Found) -> Write:
    """For answers in JSON."""
    outputs = [(name, datatype, array.shape[1:]) for name, array, datatype in found]
    rows = [array.reshape(len(array), -1).tolist() for _, array, _ in found]

    def write(call: Call, start: int) -> Encoded:
        stop, written = start + call.rows, []
        for (name, datatype, shape), listed in zip(outputs, rows, strict=True):
            data = listed[start] if call.rows == 1 else list(chain.from_iterable(listed[start:stop]))
            written.append(Written(name, datatype, (call.rows, *shape), None, data))
        return Encoded(CONTENT_JSON, 0, answers.write(Answer(call.name, call.version, written, call.id)))

    return write
