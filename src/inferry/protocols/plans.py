"""Plans: how the raw tensors of a request become arrays, kept for the next request that is built the same way.

A client sends the same structure again and again (inputs, datatypes, shapes, wanted outputs) with
other data. A codec reads and checks it once; when nothing in the values needs a look either, all
that is left for the next one is to find its bytes, compare their number and copy them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from inferry.interfaces.codec import alike
from inferry.protocols.named import NamedTensors
from inferry.protocols.tensors import DTYPES, Array
from inferry.types.frames import BIG

MAX_KNOWN = 64
MAX_KNOWN_SIZE = 16 << 10

PLAIN = frozenset(DTYPES) - {"BOOL", "BYTES", "BF16"}
"""Datatypes whose raw bytes are an array's memory as they are."""


class Quick(NamedTuple):
    """How an input's raw bytes become its array without looking at them again."""

    name: str
    dtype: np.dtype[Any]
    size: int
    shape: tuple[int, ...]


class Plan(NamedTuple):
    """A structure that needs no more checks than those of sizes. `size`: of all its data, in bytes; `alike`: what
    its calls can be stacked by."""

    quick: list[Quick]
    size: int
    rows: int
    wanted: tuple[tuple[str, bool], ...]
    binary: bool
    alike: Hashable


class Plans:
    """The structures that were seen, by their bytes."""

    def __init__(self, known: NamedTensors) -> None:
        self._tensors = known
        self._plans: dict[bytes, Plan] = {}

    def get(self, structure: bytes) -> Plan | None:
        """The plan for a structure, if it has one."""
        return self._plans.get(structure)

    def remember(
        self, structure: bytes, given: Sequence[tuple[str, str]], inputs: Mapping[str, Array], rows: int,
        wanted: tuple[tuple[str, bool], ...], *, binary: bool,
    ) -> None:  # fmt: skip
        """Keep a plan, when nothing in values of these names and datatypes needs a look."""
        quick = []
        for name, datatype in given:
            array = inputs[name]
            small = 0 < array.nbytes < BIG
            if datatype not in PLAIN or not small or not self._tensors.takes_any(name, datatype):
                return
            quick.append(Quick(name, array.dtype, array.nbytes, array.shape))
        if len(structure) <= MAX_KNOWN_SIZE:
            size = sum(one.size for one in quick)
            keep(self._plans, structure, Plan(quick, size, rows, wanted, binary, alike(inputs)))


def keep(memory: dict[Any, Any], key: Any, value: Any) -> None:
    """Remember a value; a memory that is full starts anew."""
    if len(memory) >= MAX_KNOWN:
        memory.clear()
    memory[key] = value


def remembered(memory: dict[Any, bytes], key: Any, make: Callable[[], bytes]) -> bytes:
    """The bytes for a key, made once."""
    known = memory.get(key)
    if known is None:
        known = make()
        keep(memory, key, known)
    return known
