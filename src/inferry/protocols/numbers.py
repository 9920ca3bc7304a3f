"""Numbers: long lists of JSON numbers, read into an array without a Python object for each of them.

    [[0.1, 0.2, ...], ...]                        `rows`: equally long rows, as they are or under one key
    {"inputs": [{..., "data": [0.1, ...]}]}       `cut` the lists out of a body, then `arrays`

simdjson reads them, and takes the numbers that msgspec takes, as the same values. Whatever is not exactly of
this form is None here, and is left to the caller's other reader, which names what is wrong. So is everything on a
machine that has no simdjson: it is a matter of speed alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from inferry.protocols.plans import Quick
from inferry.protocols.tensors import Array

LONG = 1500  # bytes: below, the other reader is as quick
MOST = 4 << 20 if find_spec("simdjson") else 0  # bytes: a parser takes about twelve times as much for the while
KEPT = 256 << 10  # the parser of a longer body is not kept
DATA = re.compile(rb'"data"\s*:\s*\[')
_BYTE_ORDER_MARK = 0xEF  # simdjson would skip it
_MAX = {np.dtype(name): float(np.finfo(name).max) for name in ("<f2", "<f4")}
_REFUSED = (ValueError, TypeError, LookupError, RuntimeError)  # what simdjson raises, and what comes of other forms


class Numbers:
    """Reads bodies of `LONG` to `MOST` bytes for one codec, and not for two threads at a time."""

    def __init__(self) -> None:
        self._json: Any = None
        self._parser: Any = None

    def rows(self, body: bytes, keys: Sequence[str], *, bare: bool) -> Array | None:
        """The FP64 matrix that stands under one of these keys and alone, or (`bare`) is the body. None for anything
        else."""
        try:
            return self._rows(body, keys, bare)
        except _REFUSED:
            return None

    def flat(self, text: bytes) -> Array | None:
        """The FP64 numbers of a list in which there are no lists. None for anything else."""
        try:
            return np.frombuffer(self._parse(text).as_buffer(of_type="d"))
        except _REFUSED:
            return None

    def arrays(self, known: Sequence[Quick], lists: Sequence[bytes]) -> dict[str, Array] | None:
        """Lists of numbers as the arrays that they are known to be. None when one is anything else."""
        inputs = {}
        for (name, dtype, size, shape), text in zip(known, lists, strict=True):
            numbers = self.flat(text)
            if numbers is None or numbers.size * dtype.itemsize != size:
                return None
            array = narrow(numbers, dtype)
            if array is None:
                return None
            inputs[name] = array.reshape(shape)
        return inputs

    def _parse(self, text: bytes) -> Any:
        """A view of the document, which must be gone before the next one is parsed."""
        if self._json is None:
            import simdjson

            self._json, self._parser = simdjson, simdjson.Parser()
        if text[0] == _BYTE_ORDER_MARK:
            return None
        return (self._parser if len(text) <= KEPT else self._json.Parser()).parse(text)

    def _rows(self, body: bytes, keys: Sequence[str], bare: bool) -> Array | None:
        found = self._parse(body)
        if type(found) is self._json.Object:
            (key,) = found
            found = found[key] if key in keys else None
        elif not bare:
            return None
        if type(found) is not self._json.Array:
            return None
        rows, width = len(found), len(found[0])
        if rows == 1:
            nested = body.rfind(b"[") != body.find(b"[", body.find(b"[") + 1)
        else:
            nested = body.count(b"[") != rows + 1 or any(len(row) != width for row in found)
        return None if nested else np.frombuffer(found.as_buffer(of_type="d")).reshape(rows, width)


def cut(body: bytes) -> tuple[bytes, list[bytes]]:
    """A body without what stands between `"data": [` and the next `]`, and these lists with their brackets."""
    parts, lists, at = [], [], 0
    while found := DATA.search(body, at):
        start, end = found.end() - 1, body.find(b"]", found.end())
        if end < 0:
            break
        parts.append(body[at : start + 1])
        lists.append(body[start : end + 1])
        at = end
    parts.append(body[at:])
    return b"".join(parts), lists


def narrow(numbers: Array, dtype: np.dtype[Any]) -> Array | None:
    """FP64 numbers as other floats; None when one may be out of their range."""
    if dtype == numbers.dtype:
        return numbers
    most = _MAX[dtype]
    return None if numbers.max() > most or numbers.min() < -most else numbers.astype(dtype)
