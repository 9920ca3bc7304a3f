"""Decoders of JSON for types that are met at run time, safe in threads.

msgspec looks at a struct's fields when it first meets it. A second thread that meets it meanwhile finds a
description that is half made, and the process dies of it (msgspec 0.22). So here one is made at a time, and kept;
where the type is known beforehand, a `msgspec.json.Decoder` beside it, made by the import, does the same.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_lock = threading.Lock()
_made: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The decoder of a type."""
    with _lock:
        if kind not in _made:
            _made[kind] = msgspec.json.Decoder(kind)
        return _made[kind]
