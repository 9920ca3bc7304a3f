"""Cgroups: limits of a replica that the kernel keeps by itself: memory, processor time, processes.

Data flow: /proc/self/cgroup and what is mounted -> the folder where ours may be made, of version 1 (a hierarchy for
each controller) or 2 (one) -> a folder for each replica, with its limits -> the replica joins before it loads its model
-> what the kernel says of its end -> the folder is removed. Where nothing may be written there, `Cgroups.note` says
why, and the limits of the process (`security.sandbox`) are all there is.

Version 2 lets a group with processes of its own have no children with limits, so the platform's processes go to a group
`platform` beside those of the replicas; that is done only where all processes of the group are the platform's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
CONTROLLERS = ("memory", "cpu", "pids")
PROCS = "cgroup.procs"
TASKS = "tasks"
"""Version 1: where one thread joins. Who has no other joins in no time; behind PROCS the kernel waits for all
processors, which takes 5 to 15 ms."""
ASIDE = "platform"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a replica may take: bytes of memory, processors, processes and threads. 0: no limit."""

    memory: int = 0
    cpus: float = 0.0
    processes: int = 0


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where groups are made: a folder for each controller that there is (all the same one in version 2)."""

    folders: Mapping[str, Path]
    unified: bool

    @property
    def places(self) -> tuple[Path, ...]:
        """The folders, each once."""
        return tuple(dict.fromkeys(self.folders.values()))


class Cgroups:
    """The groups of one platform's replicas, below a group of its own called `name`."""

    def __init__(self, home: Home | None, note: str, name: str) -> None:
        self.note = note
        self._home = home
        self._name = name
        self._limits: dict[str, Limits] = {}

    @property
    def works(self) -> bool:
        """Whether there are any."""
        return self._home is not None

    @property
    def limit_memory(self) -> bool:
        """Whether a limit of memory holds."""
        return self._home is not None and "memory" in self._home.folders

    def make(self, id: str, limits: Limits) -> tuple[str, ...]:
        """A group with these limits; the files into which who joins writes a 0. Nothing where that is refused."""
        if self._home is None:
            return ()
        made = []
        joining = PROCS if self._home.unified else TASKS
        try:
            for controller, file, value in settings(limits, unified=self._home.unified):
                if controller in self._home.folders:
                    folder = self._home.folders[controller] / self._name / id
                    folder.mkdir(parents=True, exist_ok=True)
                    write(folder / file, value)
                    made.append(str(folder / joining))
        except OSError as error:
            self.note = f"a group could not be made ({error.strerror})"
            self.remove(id)
            return ()
        self._limits[id] = limits
        return tuple(dict.fromkeys(made))

    def killed(self, id: str) -> str:
        """That the kernel killed something in a group for its memory, in words ("": it did not)."""
        limits = self._limits.get(id)
        if self._home is None or limits is None or not self.limit_memory:
            return ""
        file = "memory.events" if self._home.unified else "memory.oom_control"
        try:
            text = (self._home.folders["memory"] / self._name / id / file).read_text()
        except OSError:
            return ""
        counted = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
        if counted.get("oom_kill", "0") == "0":
            return ""
        if not limits.memory:
            return "killed: the machine, or the group of the platform, ran out of memory"
        return f"killed: used more than memory_mb = {limits.memory >> 20}"

    def adopted(self, id: str, limits: Limits) -> None:
        """A replica of an earlier control process, in its group."""
        self._limits[id] = limits

    def remove(self, id: str) -> None:
        """Forget a group; its processes have ended."""
        self._limits.pop(id, None)
        if self._home is not None:
            for place in self._home.places:
                with contextlib.suppress(OSError):
                    (place / self._name / id).rmdir()

    def clear(self) -> None:
        """Remove all groups; nothing runs in them any more."""
        self.sweep(())
        if self._home is not None:
            for place in self._home.places:
                with contextlib.suppress(OSError):
                    (place / self._name).rmdir()

    def sweep(self, kept: Iterable[str]) -> None:
        """Remove the groups of replicas that are gone."""
        ids = set(kept)
        if self._home is not None:
            for place in self._home.places:
                for folder in (place / self._name).glob("*"):
                    if folder.is_dir() and folder.name not in ids:
                        with contextlib.suppress(OSError):
                            folder.rmdir()


def settings(limits: Limits, *, unified: bool) -> list[tuple[str, str, str]]:
    """Controller, file and value of each limit. What need not be there on every kernel ends with a question mark."""
    found = []
    if limits.memory:
        if unified:
            found += [("memory", "memory.max", str(limits.memory)), ("memory", "memory.swap.max?", "0")]
        else:
            found += [
                ("memory", "memory.limit_in_bytes", str(limits.memory)),
                ("memory", "memory.memsw.limit_in_bytes?", str(limits.memory)),
            ]
    if limits.cpus:
        quota = str(int(limits.cpus * PERIOD_US))
        if unified:
            found.append(("cpu", "cpu.max", f"{quota} {PERIOD_US}"))
        else:
            found += [("cpu", "cpu.cfs_period_us", str(PERIOD_US)), ("cpu", "cpu.cfs_quota_us", quota)]
    if limits.processes:
        found.append(("pids", "pids.max", str(limits.processes)))
    return found


def write(path: Path, value: str) -> None:
    """Set one value; of a file that need not be there only where it is."""
    if path.name.endswith("?"):
        path = path.with_name(path.name[:-1])
        if not path.exists():
            return
    path.write_text(value)


def find(
    name: str,
    ours: Callable[[int], bool],
    root: Path = ROOT,
    lines: Iterable[str] | None = None,
) -> Cgroups:
    """The groups that may be made here. `ours`: whether a process is the platform's; `lines`: /proc/self/cgroup."""
    if lines is None:
        try:
            lines = Path("/proc/self/cgroup").read_text().splitlines()
        except OSError:
            return Cgroups(None, "the kernel has no cgroups", name)
    own = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller] = path.lstrip("/")
    folders = {one: root / one / own[one] for one in CONTROLLERS if one in own and (root / one).is_dir()}
    if folders:
        return begin(Home(folders=folders, unified=False), name)
    base = root / own[""] if "" in own else None
    if base is not None and base.name == ASIDE:  # an earlier control process moved us there
        base = base.parent
    if base is None or not (base / "cgroup.controllers").exists():
        return Cgroups(None, "no cgroups are mounted", name)
    return delegated(base, name, ours)


def begin(home: Home, name: str) -> Cgroups:
    """Try: the controllers that let us make a group."""
    usable = {}
    refused = ""
    for controller, folder in home.folders.items():
        try:
            (folder / name).mkdir(exist_ok=True)
            usable[controller] = folder
        except OSError as error:
            refused = f"{folder} may not be written ({error.strerror})"
    if not usable:
        return Cgroups(None, refused, name)
    note = f"version {2 if home.unified else 1}: {', '.join(usable)}"
    return Cgroups(Home(folders=usable, unified=home.unified), note, name)


def delegated(base: Path, name: str, ours: Callable[[int], bool]) -> Cgroups:
    """Version 2: the platform's own processes go aside, so that limits may be given below its group."""
    try:
        there = set((base / "cgroup.controllers").read_text().split()) & set(CONTROLLERS)
        if not there:
            return Cgroups(None, "no controller is delegated to our cgroup", name)
        pids = [int(pid) for pid in (base / PROCS).read_text().split()]
        if not all(ours(pid) for pid in pids):
            return Cgroups(None, "our cgroup has processes of others: give the platform one of its own", name)
        if pids:
            (base / ASIDE).mkdir(exist_ok=True)
            for pid in pids:
                (base / ASIDE / PROCS).write_text(str(pid))
        wanted = " ".join(f"+{one}" for one in sorted(there))
        (base / "cgroup.subtree_control").write_text(wanted)
        (base / name).mkdir(exist_ok=True)
        (base / name / "cgroup.subtree_control").write_text(wanted)
    except OSError as error:
        return Cgroups(None, f"{base} may not be changed ({error.strerror})", name)
    return begin(Home(folders=dict.fromkeys(sorted(there), base), unified=True), name)
