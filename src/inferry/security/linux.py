"""The few Linux calls that Python has no function for, through ctypes. Standard library only.

Data flow: sandbox steps -> `prctl`, `syscall`, `unshare` -> kernel; a refusal comes back as OSError.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
import sys
from functools import cache
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_CAPBSET_READ, PR_CAPBSET_DROP = 23, 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_SLAVE = 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 19
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
CAPABILITY_VERSION_3 = 0x20080522
CAPSET = {"x86_64": 126, "aarch64": 91}


def machine() -> str:
    """`x86_64` or `aarch64` where the sandbox knows the kernel's numbers, else ""."""
    name = platform.machine()
    return name if sys.platform == "linux" and name in CAPSET and sys.maxsize > 2**32 else ""


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, *arguments: Any) -> int:
    """Control this process; up to four arguments, missing ones zero."""
    filled = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc().prctl(ctypes.c_int(option), *filled), "prctl")


def syscall(number: int, *arguments: Any) -> int:
    """A raw system call."""
    call = _libc().syscall
    call.restype = ctypes.c_long
    filled = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(call(ctypes.c_long(number), *filled), "syscall")


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _checked(_libc().unshare(ctypes.c_int(flags)), "unshare")


def set_no_new_privs() -> None:
    """No program that this process starts may gain privileges; needed by the steps after it."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def enter_namespaces(flags: int) -> bool:
    """New namespaces directly when privileged, else inside a new user namespace (then True).

    The user namespace maps our own user and group to themselves.
    """
    try:
        unshare(flags)
    except PermissionError:
        user, group = os.geteuid(), os.getegid()
        unshare(flags | CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_bytes(b"deny")
        Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (user, user))
        Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (group, group))
        return True
    return False


def bring_up_loopback() -> None:
    """Let this network namespace speak to itself, and so to nobody else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP | IFF_RUNNING))


def mount_shared_memory(path: str, size_mb: int) -> None:
    """An empty /dev/shm of our own, in a mount namespace of our own. The host's unmounts still reach us."""
    mount = _libc().mount
    _checked(mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_SLAVE), None), "mount")
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _checked(mount(b"tmpfs", path.encode(), b"tmpfs", flags, b"size=%dm,mode=700" % size_mb), "mount")


def drop_capabilities() -> None:
    """Empty the bounding, ambient, effective, permitted and inheritable sets."""
    with contextlib.suppress(PermissionError):  # without CAP_SETPCAP there is nothing to regain anyway
        for capability in range(64):
            try:
                prctl(PR_CAPBSET_DROP, capability)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    break
                raise
    with contextlib.suppress(OSError):  # kernels before 4.3 have no ambient set
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    syscall(CAPSET[machine()], ctypes.byref(header), ctypes.byref(nothing))
