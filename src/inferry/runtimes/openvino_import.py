"""OpenVINO as a replica wants it: imported once, before the fork, without its telemetry.

Importing `openvino` would make a client id in the home folder and start a thread that reports its use to its
makers; without the package `openvino_telemetry` it does neither, and a zygote may import it and fork.
"""

from __future__ import annotations

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # so that importing it fails

import openvino  # noqa: E402

__all__ = ["openvino"]
