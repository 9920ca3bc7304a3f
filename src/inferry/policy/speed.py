"""Speed: whether a converted model is worth serving in place of the native one.

Data flow: both batch curves (microseconds of a call by its number of rows) -> why not, or "".
"""

from __future__ import annotations

from collections.abc import Mapping

NOISE = 1.5


def faster(native_us: Mapping[str, float], onnx_us: Mapping[str, float]) -> str:
    """Why a converted model is not worth serving: one row must be faster, and no batch much slower."""
    for rows in native_us.keys() & onnx_us.keys():
        allowed = 1.0 if rows == "1" else NOISE
        if onnx_us[rows] > allowed * native_us[rows]:
            count = "one row" if rows == "1" else f"{rows} rows"
            return f"it is slower: {onnx_us[rows]:.0f} us for {count}, natively {native_us[rows]:.0f} us"
    return ""
