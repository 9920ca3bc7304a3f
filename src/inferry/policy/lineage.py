"""Lineage: what may be written of where a version comes from. Pure."""

from __future__ import annotations

import math
import re

import msgspec

from inferry.errors import InvalidInput
from inferry.types.lineage import Lineage

MAX_BYTES = 8 << 10
MAX_PAIRS = 64
WORD = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?")


def check_lineage(lineage: Lineage) -> Lineage:
    """The lineage, when it can be kept. Raises InvalidInput."""
    for what, names in (("label", lineage.labels), ("metric", lineage.metrics)):
        if len(names) > MAX_PAIRS:
            raise InvalidInput(f"There are {len(names)} {what}s.", help=f"Give at most {MAX_PAIRS}.")
        for name in names:
            if not WORD.fullmatch(name):
                raise InvalidInput(
                    f"{name[:40]!a} is not a name for a {what}.",
                    help="Use 1 to 63 letters, digits, and . _ - / between them.",
                )
    for name, value in lineage.metrics.items():
        if not math.isfinite(value):
            raise InvalidInput(f"The metric {name} is {value}.", help="Give a number.")
    texts = (lineage.commit, lineage.branch, lineage.remote, lineage.run, lineage.data, *lineage.labels.values())
    if any(not text.isprintable() for text in texts):
        raise InvalidInput("A label's value has a character that cannot be printed.", help="Write it in one line.")
    size = len(msgspec.json.encode(lineage))
    if size > MAX_BYTES:
        raise InvalidInput(
            f"Where the version comes from takes {size} bytes.", help=f"Shorten message and labels to {MAX_BYTES}."
        )
    return lineage
