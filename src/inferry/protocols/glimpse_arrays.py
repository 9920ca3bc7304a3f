"""Glimpse of answers that are arrays: of the Open Inference Protocol, binary, and of gRPC.

Data flow: an answer's bytes -> arrays by name -> rows. Raises what `glimpse` takes as nothing to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from inferry.protocols import tensors
from inferry.protocols.grpc_contents import read_contents
from inferry.protocols.grpc_oip import read_input
from inferry.protocols.tfs_grpc import read_array, read_tensor
from inferry.types import frames
from inferry.types.feedback import MAX_ROWS, Captured
from inferry.types.protobuf import submessages, text

Rows = list[Any]
_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def read(answer: Captured) -> tuple[str, Rows]:
    """An id of the door's own, and the rows."""
    body = memoryview(answer.body)
    if answer.content == frames.CONTENT_PROTO:
        return _grpc_oip(body) if answer.door == frames.DOOR_GRPC else ("", _tfs_grpc(body))
    return "", _oip(body, answer.json_size)


def by_row(columns: Mapping[str, Any]) -> Rows:
    """Named columns, lists or arrays, as rows."""
    arrays = {
        name: column if isinstance(column, np.ndarray) else np.asarray(column, dtype=object)
        for name, column in columns.items()
    }
    count = min((len(array) for array in arrays.values() if array.ndim), default=0)
    cut = {name: array[: min(count, MAX_ROWS)].tolist() for name, array in arrays.items() if array.ndim}
    return [dict(zip(cut, row, strict=True)) for row in zip(*cut.values(), strict=True)]


def _oip(body: memoryview, json_size: int) -> Rows:
    head = _JSON.decode(body[: json_size or len(body)])
    at = json_size or len(body)
    arrays = {}
    for output in head["outputs"]:
        shape, datatype = [int(size) for size in output["shape"]], output["datatype"]
        size = (output.get("parameters") or {}).get("binary_data_size")
        if size is None:
            arrays[output["name"]] = np.asarray(output["data"], dtype=object).reshape(shape)
        else:
            arrays[output["name"]] = tensors.read_raw(datatype, shape, body[at : at + size], "output")
            at += size
    return by_row(arrays)


def _grpc_oip(message: memoryview) -> tuple[str, Rows]:
    """A ModelInferResponse; a streamed one is around it."""
    id = next((text(value) for value in submessages(message, 3)), "")
    raw = list(submessages(message, 6))
    arrays = {}
    for place, output in enumerate(submessages(message, 5)):
        name, datatype, shape, contents = read_input(output)
        if raw:
            arrays[name] = tensors.read_raw(datatype, shape, raw[place], "output")
        else:
            arrays[name] = read_contents(datatype, shape, contents, "output")
    return id, by_row(arrays)


def _tfs_grpc(message: memoryview) -> Rows:
    """A PredictResponse: a map of tensors."""
    arrays = {}
    for entry in submessages(message, 1):
        name = text(next(submessages(entry, 1)))
        arrays[name] = read_array(read_tensor(next(submessages(entry, 2)), name), name)
    return by_row(arrays)
