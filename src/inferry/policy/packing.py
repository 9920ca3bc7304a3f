"""Packing: whether onnxruntime may lay a large model's weights out anew before the first answer. Pure.

Packed weights are a private copy in the order that the kernels read. Making it takes time that grows with the model,
and every replica holds its own, while weights as they lie in the file are mapped and shared. So a large model answers
from its file first, and is packed behind that only where packing was measured to make it faster.
"""

from __future__ import annotations

from enum import StrEnum

PAYS = 1.25
LARGE = 8 << 20
"""Bytes of a model from which on packing is worth a measurement: less is packed in some milliseconds."""


class Packing(StrEnum):
    """When the weights are packed."""

    FIRST = "first"
    BEHIND = "behind"
    NEVER = "never"


def choose_packing(gain: float) -> Packing:
    """When to pack. `gain`: how many times faster packed weights answered at inspection (0: not measured)."""
    if not gain:
        return Packing.FIRST
    return Packing.BEHIND if gain >= PAYS else Packing.NEVER
