"""Memory of processes and of this machine, as the kernel counts it.

Data flow: /proc/PID/smaps_rollup -> pages that only this process has mapped. Replicas are forked from a zygote and map
the same files, so their resident memory counts the same pages many times: what ends with one of them is its private
memory alone (Documentation/filesystems/proc.rst). To count them the kernel walks through all that a process has mapped,
and what it wants mapped meanwhile waits: so who looks again and again has a `Gauge`, which goes by the counters of
/proc/PID/status while those stay as they were. /proc/meminfo and the limits of our cgroups -> what there is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from inferry.types.density import Held

PAGE = os.sysconf("SC_PAGE_SIZE")
KB = 1024
UNLIMITED = 1 << 60
CGROUPS = Path("/sys/fs/cgroup")
LEAST_MOVED, PART_MOVED = 4_000_000, 16
LEAST_REST_S, MOST_REST_S = 1.0, 60.0


class Gauge:
    """What a process and all that it started hold, for whoever asks each second.

    Its pages are counted when its resident memory moved by a sixteenth (and 4 MB), and else at ages that double, up to
    once in a minute: pages that it no longer shares, because it wrote to them, do not show in the counters.
    """

    def __init__(self, pid: int, proc: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic) -> None:
        self._pid, self._proc, self._clock = pid, proc, clock
        self._born = clock()
        self._counted: Held | None = None
        self._resident = 0
        self._due = 0.0

    def held(self) -> Held | None:
        """What they hold, None when they are gone."""
        resident, peak = self._counters()
        if not resident:
            return None
        now, counted, moved = self._clock(), self._counted, resident - self._resident
        if counted is None or now >= self._due or abs(moved) > max(LEAST_MOVED, counted.private // PART_MOVED):
            self._counted, self._resident = held_by(self._pid, self._proc), resident
            self._due = now + min(MOST_REST_S, max(LEAST_REST_S, now - self._born))
            return self._counted
        private = max(0, counted.private + moved)
        return Held(private=private, peak=max(counted.peak, private + peak - resident))

    def _counters(self) -> tuple[int, int]:
        """Resident memory now, and the most."""
        resident = peak = 0
        for pid in tree(self._pid, self._proc):
            try:
                status = fields(self._proc / str(pid) / "status")
            except (OSError, ValueError):
                continue
            resident, peak = resident + status.get("VmRSS", 0), peak + status.get("VmHWM", 0)
        return resident, peak


def held_by(pid: int, proc: Path = Path("/proc")) -> Held | None:
    """What a process and all that it started hold, None when it is gone."""
    found = [held for one in tree(pid, proc) if (held := held_alone(one, proc)) is not None]
    if not found:
        return None
    return Held(private=sum(held.private for held in found), peak=sum(held.peak for held in found))


def tree(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """A process and those below it."""
    found = [pid]
    for one in found:  # grows meanwhile
        try:
            found += map(int, (proc / f"{one}/task/{one}/children").read_text().split())
        except OSError:
            continue
    return found


def held_alone(pid: int, proc: Path) -> Held | None:
    """What one process holds."""
    folder = proc / str(pid)
    try:
        status = fields(folder / "status")
        resident, peak = status.get("VmRSS", 0), status.get("VmHWM", 0)
        try:
            rollup = fields(folder / "smaps_rollup")
            private = sum(size for name, size in rollup.items() if name.startswith("Private_"))
        except PermissionError:  # another user's process: its resident memory without files and shared memory
            private = status.get("RssAnon", 0)
    except (OSError, ValueError):
        return None
    if not resident:  # a zombie has none
        return None
    return Held(private=private, peak=max(private, private + peak - resident))


def shared_by(pid: int, folder: str, proc: Path = Path("/proc")) -> int:
    """Bytes of files below a folder that a process has mapped and others have too: counted once, however many have."""
    total, inside = 0, False
    try:
        with (proc / str(pid) / "smaps").open() as lines:
            for line in lines:
                name, _, rest = line.partition(" ")
                if not name.endswith(":"):
                    inside = folder in rest
                elif inside and name in ("Shared_Clean:", "Shared_Dirty:"):
                    total += int(rest.split()[0]) * KB
    except (OSError, ValueError):
        return 0
    return total


def machine_memory(proc: Path = Path("/proc"), cgroups: Path = CGROUPS) -> int:
    """Bytes that this machine has, or that our cgroup may use when that is less."""
    total = fields(proc / "meminfo")["MemTotal"]
    return min([total, *limits((proc / "self/cgroup").read_text().splitlines(), cgroups)])


def limits(lines: Iterable[str], cgroups: Path = CGROUPS) -> list[int]:
    """The memory limits of the cgroups that these lines of /proc/self/cgroup name, and of all above them."""
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        roots = [cgroups / "memory"] if controllers else [cgroups, cgroups / "unified"]
        file = "memory.limit_in_bytes" if controllers else "memory.max"
        for root in roots:
            place = root / path.lstrip("/")
            for folder in (place, *place.parents):
                limit = number(folder / file)
                if limit is not None:
                    found.append(limit)
                if folder == root:
                    break
    return [limit for limit in found if 0 < limit < UNLIMITED]


def number(path: Path) -> int | None:
    """The number in a file; None for a word, or without the file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def fields(path: Path) -> dict[str, int]:
    """The sizes of a file of lines such as `VmRSS:  12 kB`, in bytes."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * KB
    return found
