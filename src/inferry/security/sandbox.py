"""The sandbox: what a process that runs model code gives up before it loads the model.

Data flow: a fresh, single-threaded process (just forked) with its sockets already open ->
`confine(policy)` takes away, in an order in which each step still has what it needs:
no_new_privs -> namespaces (network, IPC, host name, shared memory) -> limits -> capabilities -> Landlock
-> seccomp -> a report that names every layer as "on..." or "absent: why".

It never fails for want of a layer: it uses the best that the host allows, and `probe` says
beforehand what that is. It is defence in depth for code that its owner chose to serve, not a
virtual machine for hostile tenants. Standard library only: it runs inside model environments.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inferry.security import landlock, linux, seccomp

ABSENT = "absent: "
LAYERS = ("no_new_privs", "namespaces", "limits", "capabilities", "landlock", "seccomp")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
CARRIED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that older OpenBLAS builds need on some processors."""

SHARED_MEMORY, SHARED_MEMORY_MB = "/dev/shm", 64  # noqa: S108 - a mount of our own, where semaphores are made

SYSTEM_PATHS = (
    "/usr", "/lib*", "/etc/ld.so.cache", "/etc/localtime", "/etc/locale.alias", "/etc/mime.types",
    "/etc/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf", "/etc/crypto-policies", "/proc/self",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
)  # fmt: skip
NETWORK_PATHS = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
    "/etc/services", "/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/run/systemd/resolve",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxPolicy:
    """What confined code may still do. A limit of 0 is no limit.

    `read`/`write`: files and folders (with all beneath). `memory_bytes`: address space.
    `listen`: without a network, unix stream sockets may still be made and listened on, never connected.
    `loopback`: without a network, processes of this sandbox may still speak to each other: over unix sockets, and over
    a loopback interface of their own. Where the host refuses network namespaces, that is the host's network.
    `shared_mb`: size of the sandbox's own shared memory.
    `processes`: processes and threads, which the kernel does not limit for root.
    `files`: open descriptors. `file_bytes`: the largest file it may write.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    network: bool = False
    listen: bool = False
    loopback: bool = False
    shared_mb: int = SHARED_MEMORY_MB
    exec: bool = False
    memory_bytes: int = 0
    cpu_seconds: int = 0
    processes: int = 0
    files: int = 0
    file_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Feature:
    """One layer as `doctor` shows it."""

    name: str
    available: bool
    detail: str


def default_read_paths(python_prefixes: Iterable[str], *, network: bool = False) -> tuple[str, ...]:
    """What Python and its numeric libraries read: system libraries, the given prefixes, processor facts."""
    patterns = (*SYSTEM_PATHS, *(NETWORK_PATHS if network else ()))
    found = [str(path) for pattern in patterns for path in sorted(Path("/").glob(pattern[1:]))]
    return tuple(dict.fromkeys([*found, *python_prefixes]))


def clean_environment(given: Mapping[str, str], scratch: str) -> dict[str, str]:
    """The whole environment of a child process: no secret of ours, one thread per numeric library."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": scratch,
        "TMPDIR": scratch,
        **dict.fromkeys(THREAD_VARIABLES, "1"),
        "JOBLIB_MULTIPROCESSING": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        **{name: given[name] for name in CARRIED if name in given},
    }


def confine(policy: SandboxPolicy) -> dict[str, str]:
    """Confine this process and all it starts, for good. Call it right after a fork, on its only thread."""
    if not linux.machine():
        report = dict.fromkeys(LAYERS, ABSENT + "only on Linux (x86-64 and arm64)")
        report["limits"] = _step(lambda: _limit(policy, own_users=False))
        return report
    report = {"no_new_privs": _step(_no_new_privs)}
    report["namespaces"] = _step(lambda: _separate(policy))
    own = report["namespaces"].removeprefix("on: own ").split(", ")
    report["limits"] = _step(lambda: _limit(policy, own_users="users" in own))
    report["capabilities"] = _step(_drop_capabilities)
    report["landlock"] = _step(lambda: _restrict(policy, own_memory="shared memory" in own))
    level = 0 if report["landlock"].startswith(ABSENT) else min(landlock.version(), landlock.KNOWN_VERSION)
    report["seccomp"] = _step(lambda: _filter(policy, level))
    return report


def probe() -> list[Feature]:
    """What this host allows, found by really confining a child process."""
    code = "import json; from inferry.security import sandbox; print(json.dumps(sandbox.rehearse()))"
    source = str(Path(__file__).parents[2])
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**clean_environment({}, "/"), "PYTHONPATH": source},
            capture_output=True,
            timeout=30,
            check=True,
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return [Feature(name, False, f"the probe failed: {type(error).__name__}") for name in LAYERS]
    return [Feature(name, not found[name].startswith(ABSENT), found[name].removeprefix(ABSENT)) for name in found]


def rehearse() -> dict[str, str]:
    """Confine the calling process with a plain policy and check two layers from inside: what `probe` runs."""
    report = confine(SandboxPolicy(read=default_read_paths((sys.prefix, sys.base_prefix)), files=64))
    if not report["landlock"].startswith(ABSENT) and _can(lambda: list(Path("/").iterdir())):
        report["landlock"] = ABSENT + "it was set but did not hold"
    if not report["seccomp"].startswith(ABSENT) and _can(lambda: socket.socket().close()):
        report["seccomp"] = ABSENT + "it was set but did not hold"
    return report


def _can(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return False
    return True


def _step(action: Callable[[], str]) -> str:
    try:
        return action()
    except (OSError, ValueError) as error:
        reason = errno.errorcode.get(error.errno or 0, "") if isinstance(error, OSError) else str(error)
        return f"{ABSENT}the host refused it{f' ({reason})' if reason else ''}"


def _no_new_privs() -> str:
    linux.set_no_new_privs()
    return "on"


def _separate(policy: SandboxPolicy) -> str:
    flags = linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWNS | (0 if policy.network else linux.CLONE_NEWNET)
    own = ["IPC", "host name", *([] if policy.network else ["network"])]
    if linux.enter_namespaces(flags):
        own.append("users")
    with contextlib.suppress(OSError):  # then no shared memory may be used, as the missing word tells
        linux.mount_shared_memory(SHARED_MEMORY, policy.shared_mb)
        own.append("shared memory")
    if policy.loopback and not policy.network:
        linux.bring_up_loopback()
    return f"on: own {', '.join(own)}"


def _limit(policy: SandboxPolicy, *, own_users: bool) -> str:
    wanted = {"core dumps": (resource.RLIMIT_CORE, 0)}
    for name, kind, value in (
        ("memory", resource.RLIMIT_AS, policy.memory_bytes),
        ("processor seconds", resource.RLIMIT_CPU, policy.cpu_seconds),
        ("files", resource.RLIMIT_NOFILE, policy.files),
        ("file size", resource.RLIMIT_FSIZE, policy.file_bytes),
    ):
        if value:
            wanted[name] = kind, value
    if policy.processes and os.geteuid() != 0:
        # The kernel counts all that the user runs, except in a user namespace of its own.
        wanted["processes"] = resource.RLIMIT_NPROC, policy.processes + (0 if own_users else _running())
    for kind, value in wanted.values():
        _, ceiling = resource.getrlimit(kind)
        unlimited = ceiling == resource.RLIM_INFINITY
        soft = value if unlimited else min(value, ceiling)
        # One more processor second before the kill, so that the first signal (SIGXCPU) tells why.
        hard = soft + 1 if kind == resource.RLIMIT_CPU and (unlimited or soft < ceiling) else soft
        resource.setrlimit(kind, (soft, hard))
    return "on: " + ", ".join(wanted)


def _running() -> int:
    """How many threads this user runs, where that can be counted."""
    user, count = os.geteuid(), 0
    for entry in Path("/proc").glob("[0-9]*/task"):
        try:
            if entry.stat().st_uid == user:
                count += sum(1 for _ in entry.iterdir())
        except OSError:
            continue  # it ended while we counted
    return count


def _drop_capabilities() -> str:
    linux.drop_capabilities()
    return "on: none left"


def _restrict(policy: SandboxPolicy, *, own_memory: bool) -> str:
    write = (*policy.write, SHARED_MEMORY) if own_memory else policy.write
    level = landlock.restrict(policy.read, write, network=policy.network or policy.loopback, execute=policy.exec)
    return f"on: version {level}"


def _filter(policy: SandboxPolicy, level: int) -> str:
    seccomp.install(
        linux.machine(),
        network=policy.network or policy.loopback,
        listen=policy.listen,
        execute=policy.exec,
        signals_only_to=None if level >= 6 else os.getpid(),
        refuse_truncate=level < 3,
    )
    return "on"
