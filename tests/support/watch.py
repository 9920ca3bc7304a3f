"""What a failed deploy leaves of itself: nothing.

A platform's endpoints, versions, bundles, staged files, sockets and processes before -> the same after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import processes
from tests.support.platform import Platform


class Watch:
    """What must be the same before and after a failed deploy."""

    def __init__(self, platform: Platform, marker: Path | None = None) -> None:
        self.platform, self.marker = platform, marker
        self.before = self.state()

    def state(self) -> dict[str, Any]:
        return {**self.kept(), "replicas": self.platform.replica_pids()}

    def kept(self) -> dict[str, Any]:
        """What the database and the disk hold."""
        home = self.platform.home
        get = self.platform.call
        return {
            "endpoints": [e["name"] for e in get("GET", "/v1/endpoints", control=True).json()["endpoints"]],
            "models": [(m["name"], m["versions"]) for m in get("GET", "/v1/models", control=True).json()["models"]],
            "staging": sorted(path.name for path in (home / "staging").iterdir()),
            "bundles": sorted(path.name for path in (home / "bundles").iterdir()),
            "run": sorted(path.name for path in (home / "run").iterdir() if not path.name.startswith("z-")),
        }

    def children(self) -> list[str]:
        """Processes that a zygote forked, and what is left of their children, but for replicas."""
        replicas = set(self.platform.replica_pids())
        found = []
        for pid in self.platform.processes():
            line = processes.command(pid)
            zygote = processes.parent(pid) in self.platform.processes() and "boot.py" in processes.command(
                processes.parent(pid)
            )
            if pid not in replicas and "boot.py" in line and (zygote or processes.parent(pid) == self.platform.pid):
                found.append(f"{pid} of {processes.parent(pid)}: {line[:80]}")
        return found

    def unchanged(self) -> None:
        assert self.state() == self.before
        assert self.marker is None or not self.marker.exists(), "hostile code wrote outside of its sandbox"
        processes.wait_until(lambda: not self.children(), 3, f"processes are left: {self.children()}")
