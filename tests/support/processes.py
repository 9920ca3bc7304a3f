"""What runs on this machine on behalf of one platform, read from /proc.

pid or home folder -> the processes of it, who listens where, memory (PSS) and CPU time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")
LISTENING = "00010000"  # the flag of a listening socket in /proc/net/unix
TCP_LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name: state, parent, group, session..."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def everyone() -> list[int]:
    """All process ids, zombies left out."""
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if _stat(int(entry.name))[0] not in "ZX":
                    found.append(int(entry.name))
    return found


def parent(pid: int) -> int:
    """The parent's id; 0 when the process is gone."""
    with contextlib.suppress(OSError):
        return int(_stat(pid)[1])
    return 0


def tree(root: int) -> list[int]:
    """A process and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for pid in everyone():
        children.setdefault(parent(pid), []).append(pid)
    found, queue = [], [root]
    while queue:
        pid = queue.pop(0)
        found.append(pid)
        queue += children.get(pid, [])
    return [pid for pid in found if (PROC / str(pid)).exists()]


def _mentions(pid: int, text: bytes) -> bool:
    for name in ("cmdline", "environ"):
        with contextlib.suppress(OSError):
            if text in (PROC / str(pid) / name).read_bytes():
                return True
    with contextlib.suppress(OSError):
        return os.fsencode((PROC / str(pid) / "cwd").readlink()).startswith(text)
    return False


def belonging_to(folders: Iterable[Path], session: int) -> set[int]:
    """Processes of a platform, even orphaned ones: of its session, or naming one of its folders in
    their command line, environment or working directory, or listening on a socket in one."""
    texts = [os.fsencode(folder) for folder in folders]
    found = {pid for folder in folders for pids in unix_listeners(folder).values() for pid in pids}
    for pid in everyone():
        with contextlib.suppress(OSError):
            if int(_stat(pid)[3]) == session or any(_mentions(pid, text) for text in texts):
                found.add(pid)
    return found - {os.getpid(), os.getppid()}


def _holders(inodes: Iterable[str]) -> dict[str, set[int]]:
    """Socket inode -> the processes that hold it open."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, set[int]] = {inode: set() for inode in wanted.values()}
    for pid in everyone():
        with contextlib.suppress(OSError):
            for fd in (PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    inode = wanted.get(str(fd.readlink()))
                    if inode:
                        found[inode].add(pid)
    return found


def unix_listeners(home: Path) -> dict[str, set[int]]:
    """Path of each listening unix socket under a folder -> the processes that hold it."""
    paths = {}
    for line in (PROC / "net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[3] == LISTENING and fields[7].startswith(str(home)):
            paths[fields[6]] = fields[7]
    holders = _holders(paths)
    return {path: holders[inode] for inode, path in paths.items()}


def tcp_listeners(port: int) -> set[int]:
    """The processes that hold the socket listening on a TCP port of this machine."""
    inodes = []
    for table in ("net/tcp", "net/tcp6"):
        with contextlib.suppress(OSError):
            for line in (PROC / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.append(fields[9])
    return set().union(*_holders(inodes).values())


def pss_mb(pids: Iterable[int]) -> float:
    """Proportional set size of all these processes together, in MB (10^6 bytes)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total * 1024 / 1e6


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time that these processes have used so far."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = _stat(pid)
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    with contextlib.suppress(OSError):
        return _stat(pid)[0] not in "ZX"
    return False


def kill(pids: Iterable[int]) -> None:
    """SIGKILL each of them that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_until(true, seconds: float, what: str) -> None:
    """Poll until `true()` holds; AssertionError with `what` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


def descriptors(pid: int) -> list[Path]:
    """The open descriptors of a process."""
    return list((PROC / str(pid) / "fd").iterdir())


def command(pid: int) -> str:
    """The command line of a process; empty when it is gone."""
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def listening(pids: Iterable[int]) -> set[tuple[str, str]]:
    """("tcp", "127.0.0.1:8000") or ("unix", path) of each socket on which any of them listens; udp too."""
    held = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for fd in descriptors(pid):
                with contextlib.suppress(OSError):
                    held.add(str(fd.readlink()))
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6", "raw"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[9]}]" in held and (fields[3] == TCP_LISTEN or not table.startswith("tcp")):
                host, _, port = fields[1].rpartition(":")
                address = ".".join(str(byte) for byte in reversed(bytes.fromhex(host))) if len(host) == 8 else host
                found.add((table, f"{address}:{int(port, 16)}"))
    for line in (PROC / "net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if fields[3] == LISTENING and f"socket:[{fields[6]}]" in held:
            found.add(("unix", fields[7] if len(fields) == 8 else ""))
    return found
