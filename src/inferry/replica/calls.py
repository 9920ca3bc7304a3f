"""Calls: requests on their way through the engine, and how they become one call of the model and part again.

Data flow: frames.Request -> `inflate` -> decoded into an Item -> `stack` with its mates -> the model's
outputs -> `check_rows` (`predict` is from the stack to here) -> `split`: each item's own rows.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from inferry.errors import InvalidInput, ModelFailed, TooLarge
from inferry.interfaces.codec import Call, Codec
from inferry.interfaces.runtime import LoadedModel
from inferry.types import frames

if TYPE_CHECKING:
    from inferry.replica.pieces import Pieces

MAX_BODY = 256 << 20


class Peer(Protocol):
    """Who asked: takes replies, and is told when the model begins a request."""

    def answer(self, reply: frames.Reply) -> None:
        """Send a reply, now or with the next write."""
        ...

    def begin(self, request_id: int) -> None:
        """The model is about to see this request."""
        ...


class Item(msgspec.Struct, eq=False):
    """A decoded request on its way through, a policy.batching.Waiting. `arrived`: monotonic nanoseconds; `pieces`:
    what was computed of one that is run in pieces."""

    request: frames.Request
    peer: Peer
    codec: Codec
    call: Call
    alike: Hashable
    rows: int
    deadline: int
    arrived: int
    pieces: Pieces | None = None


def predict(model: LoadedModel, calls: list[Call], *, batchable: bool) -> Any:
    """The outputs of all calls, from one call of the model. Raises what that raises, and ModelFailed as
    `check_rows`."""
    if len(calls) == 1:
        outputs = model.predict(own(calls[0]))
        if batchable:
            check_rows(outputs, calls[0].rows)
        return outputs
    outputs = model.predict(stack(calls))
    check_rows(outputs, sum([call.rows for call in calls]))
    return outputs


def own(call: Call) -> Any:
    """The inputs of a call that runs by itself, as a model may have them."""
    return {name: array.copy() for name, array in call.inputs.items()} if call.views else call.inputs


def stack(calls: list[Call]) -> dict[str, Any]:
    """The inputs of calls that run together."""
    return {name: np.concatenate([call.inputs[name] for call in calls]) for name in calls[0].inputs}


def split(outputs: Mapping[str, Any], calls: list[Call]) -> list[Any]:
    """Each call's own rows of the outputs."""
    parts, start = [], 0
    for call in calls:
        end = start + call.rows
        parts.append({name: value[start:end] for name, value in outputs.items()})
        start = end
    return parts


def check_rows(outputs: Mapping[str, Any], rows: int) -> None:
    """Raise ModelFailed unless every output has a row for each row of input."""
    for name, value in outputs.items():
        if len(value) != rows:
            raise ModelFailed(f"Output {name!r} has {len(value)} rows for {rows} rows of input.")


def inflate(request: frames.Request) -> frames.Request:
    """The request with its body unpacked. Raises InvalidInput or TooLarge (a bomb stops at the limit)."""
    wbits = 31 if request.flags & frames.FLAG_GZIP else 15
    unpacker = zlib.decompressobj(wbits)
    try:
        body = unpacker.decompress(request.body, MAX_BODY)
    except zlib.error as error:
        raise InvalidInput(
            "The body is not valid for its Content-Encoding.", help="Send gzip or deflate data, or no encoding."
        ) from error
    if unpacker.unconsumed_tail or (len(body) >= MAX_BODY and not unpacker.eof):
        raise TooLarge(f"The unpacked body is over {MAX_BODY} bytes.", help="Send fewer rows in a request.")
    if not unpacker.eof:
        raise InvalidInput("The compressed body is cut off.", help="Send the whole of it.")
    if unpacker.unused_data:
        raise InvalidInput("More data follows the compressed body.", help="Compress the body as one piece.")
    return msgspec.structs.replace(request, body=body, flags=request.flags & ~frames.FLAGS_ENCODED)
