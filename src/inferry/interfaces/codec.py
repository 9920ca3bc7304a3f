"""Codec: bytes <-> tensors for one wire protocol ("door"), made for one signature.

Data flow in a replica: request frame -> `decode` -> Call -> (batched predict) -> `encode`
-> reply body; any InferryError -> `refuse` -> a body in the protocol's own error form.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Protocol

import msgspec

from inferry.errors import InferryError
from inferry.types.frames import Request


class Call(msgspec.Struct, eq=False):
    """A decoded request: `inputs` as the runtime takes them and `rows` along the first dimension
    (0: not countable). `views`: they lie in the body as it came, and must be copied before a model has them.
    `alike`: what `alike` says of them, where the codec knows it already. `read`: tokens, once a model that tells them
    has answered. The rest is for the codec that will encode the answer."""

    inputs: Any
    rows: int
    id: str = ""
    name: str = ""
    version: str = ""
    wanted: tuple[tuple[str, bool], ...] = ()
    binary: bool = False
    options: dict[str, Any] = {}
    read: int = 0
    alike: Hashable = None
    views: bool = False


class Encoded(msgspec.Struct):
    """A reply body; `content` is a frames.CONTENT_* and `json_size` the size of its JSON head (0: all of it)."""

    content: int
    json_size: int
    body: bytes


def alike(inputs: Mapping[str, Any]) -> Hashable:
    """What is equal for named arrays that can be stacked along their first dimension."""
    return tuple([(name, array.dtype.char, array.shape[1:]) for name, array in inputs.items()])


class Codec(Protocol):
    """One door's reading and writing, for one model.

    One whose refusals are no JSON has `refuses_in`, a frames.CONTENT_*. One that writes the answers of calls that ran
    together faster than each by itself has `encode_many(calls, outputs)`: outputs with the rows of all calls, one
    behind the other -> a list of Encoded, or None when these calls want more than that.
    """

    def decode(self, request: Request) -> Call:
        """Check and decode a body. Raises InvalidInput with a sentence naming the input at fault."""
        ...

    def encode(self, call: Call, outputs: Any) -> Encoded:
        """Write the answer to one call."""
        ...

    def refuse(self, error: InferryError) -> bytes:
        """The error in this protocol's form."""
        ...
