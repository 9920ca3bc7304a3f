"""Quantities as people write them: `5m`, `512MB`, `25%`.

Data flow: text or a number of a settings file -> `parse` for its unit -> a number in the base unit. A field says
its unit in its annotation (`Seconds`, `Megabytes`, `Percent`), and whoever reads the file asks for it.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

UNIT = "unit"
"""The key of a field's `Meta.extra` that names its unit."""

Seconds = Annotated[float, Meta(extra={UNIT: "seconds"})]
Megabytes = Annotated[float, Meta(extra={UNIT: "megabytes"})]
Percent = Annotated[float, Meta(extra={UNIT: "percent"})]

_FACTORS: dict[str, dict[str, float]] = {
    "seconds": {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0},
    "megabytes": {"kb": 0.001, "mb": 1.0, "gb": 1000.0, "kib": 1024e-6, "mib": 1.048576, "gib": 1073.741824},
    "percent": {"%": 1.0},
}
_BARE = {"seconds": False, "megabytes": False, "percent": True}  # whether a number alone will do
EXAMPLES = {
    "seconds": "Write a number and ms, s, m, h, d or w, such as 500ms, 30s or 5m.",
    "megabytes": "Write a number and KB, MB, GB, KiB, MiB or GiB, such as 512MB.",
    "percent": "Write a number from 0 to 100, such as 25 or 25%.",
}
"""By unit: how to write a quantity."""
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%]*)")


def parse(text: str | float, unit: str) -> float:
    """The quantity in its base unit. Raises ValueError with what is wrong, in words; `EXAMPLES` has the help."""
    found = _QUANTITY.fullmatch(str(text).strip())
    if found is None:
        raise ValueError(f"{text!r} is not a quantity")
    number, suffix = float(found[1]), found[2].lower()
    if not suffix and not _BARE[unit] and number:
        raise ValueError(f"{text} has no unit")
    if suffix and suffix not in _FACTORS[unit]:
        raise ValueError(
            f"{found[2]!r} is not a unit of {unit}" if unit != "percent" else f"{text!r} is not a percentage"
        )
    value = number * _FACTORS[unit].get(suffix, 1.0)
    if unit == "percent" and value > 100:
        raise ValueError(f"{text} is more than 100 percent")
    return value


def length_text(seconds: float) -> str:
    """A length of time as `parse` takes it: 90s, 10h."""
    for unit, scale in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= scale and seconds % scale == 0:
            return f"{seconds / scale:.10g}{unit}"
    return f"{seconds * 1000:.10g}ms" if seconds < 1 else f"{seconds:.10g}s"


def time_text(seconds: float) -> str:
    """A length of time for people."""
    for unit, scale, least in (("h", 3600.0, 10_000), ("min", 60.0, 1000)):
        if seconds >= least:
            return f"{seconds / scale:.3g} {unit}"
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def size_text(size: float) -> str:
    """Bytes for people."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"
