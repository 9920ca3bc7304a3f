"""Lean: GPU libraries that nothing on a host without an NVIDIA GPU can use are left out of a lock.

Data flow: uv's resolution with its "# via" comments, whether the host has an NVIDIA driver -> the same
lines without the `nvidia-*` packages that only packages of `WORK_WITHOUT` asked for.

xgboost, for one, depends on NVIDIA's communication library (some 470 MB) for training on several GPUs,
and looks for it only then. torch does not work without what it depends on, so it is not listed: a CPU
build of torch is what a CPU host needs, and the index decides that (see docs/tasks/environments.md).
"""

from __future__ import annotations

import re
from pathlib import Path

WORK_WITHOUT = frozenset({"xgboost"})
"""Packages that predict without the NVIDIA packages they depend on."""

DRIVER = Path("/proc/driver/nvidia/version")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)")


def has_nvidia_driver() -> bool:
    """Whether this host runs NVIDIA's kernel driver, or its devices are handed in (a container, WSL)."""
    return DRIVER.exists() or Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()


def lean(resolution: str, *, nvidia: bool) -> str:
    """The resolution (`uv pip compile` with annotations) without what this host cannot use."""
    if nvidia:
        return resolution
    pins = _pins(resolution)
    gone: set[str] = set()
    while True:
        spared = {
            name
            for name, (_, wanted_by) in pins.items()
            if name.startswith("nvidia-") and wanted_by and wanted_by <= WORK_WITHOUT | gone
        }
        if spared == gone:
            return "".join(text for name, (text, _) in pins.items() if name not in gone)
        gone = spared


def _pins(resolution: str) -> dict[str, tuple[str, set[str]]]:
    """Package -> its lines, and who wants it. Requirements given on standard input are "-r -"."""
    found: dict[str, tuple[str, set[str]]] = {}
    name = ""
    for line in resolution.splitlines(keepends=True):
        pin = _PIN.match(line)
        if pin:
            name = pin[1]
        text, wanted_by = found.get(name, ("", set()))
        comment = line.strip()
        if comment.startswith("#"):
            wanted_by = wanted_by | {word.strip() for word in re.sub(r"^#\s*(?:via\b)?", "", comment).split(",")}
        found[name] = (text + line, wanted_by - {""})
    return found
