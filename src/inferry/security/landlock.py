"""Landlock: which files, ports, sockets and processes this process may still reach.

Data flow: read and write paths -> a ruleset made for what the kernel's version knows ->
one rule per path that exists -> the ruleset is put on this process and all it starts, for good.

Standard library only: it runs inside model environments.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from inferry.security.linux import syscall

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG = 1
RULE_PATH_BENEATH = 1
KNOWN_VERSION = 7

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK = 1 << 6, 1 << 7, 1 << 8, 1 << 9
MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = 1 << 10, 1 << 11, 1 << 12
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
NET_BIND_TCP, NET_CONNECT_TCP = 1 << 0, 1 << 1
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1 << 0, 1 << 1

FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = READ_FILE | READ_DIR
WRITE = (
    WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER | TRUNCATE
)

ALWAYS_WRITABLE = ("/dev/null",)


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock version (ABI). Raises OSError where there is none."""
    return syscall(CREATE_RULESET, None, 0, VERSION_FLAG)


def restrict(read: Iterable[str], write: Iterable[str], *, network: bool, execute: bool) -> int:
    """Keep only these paths (and /dev/null); without `network` also no TCP. Returns the version used.

    Needs no_new_privs. Programs may be started from the read paths when `execute`.
    Abstract unix sockets of, and signals to, processes outside are refused where the version can.
    """
    level = min(version(), KNOWN_VERSION)
    files = _handled_files(level)
    attributes = _Ruleset(files, 0, 0)
    size = 8
    if level >= 4:
        attributes.net = 0 if network else NET_BIND_TCP | NET_CONNECT_TCP
        size = 16
    if level >= 6:
        attributes.scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS
        size = 24
    ruleset = syscall(CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        run = EXECUTE if execute else 0
        for path in read:
            _allow(ruleset, path, (READ | run) & files)
        for path in (*write, *ALWAYS_WRITABLE):
            _allow(ruleset, path, (READ | WRITE | run) & files, device_rights=IOCTL_DEV & files)
        syscall(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return level


def _handled_files(level: int) -> int:
    handled = (1 << 13) - 1
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        if level >= since:
            handled |= right
    return handled


def _allow(ruleset: int, path: str, rights: int, device_rights: int = 0) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # what is not there, or out of reach anyway, needs no rule
    keep = False
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISCHR(kind):
            rights |= device_rights
        if not stat.S_ISDIR(kind):
            rights &= FILE_RIGHTS  # the kernel refuses a folder's rights on a file
        rule = _PathRule(rights, descriptor)
        syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        # A rule holds on to the inode, and /proc makes a new one for a process when its entry
        # falls out of the cache: the open descriptor keeps the entry there.
        keep = path.startswith("/proc/self")
    finally:
        if not keep:
            os.close(descriptor)
