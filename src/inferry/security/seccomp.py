"""seccomp: system calls that model code never needs are refused by a hand-made BPF filter.

Data flow: options -> `program` (a list of BPF instructions, pure) -> `install` puts it on this
process and all it starts, for good. Refused calls fail with EPERM, so a library that tries one
sees an ordinary OSError. Changing a file's mode is skipped silently: Landlock does not cover
it, and copying a file must not fail because of it.

Standard library only: it runs inside model environments. Numbers are (x86-64, arm64), None: no such call.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterable

from inferry.security.linux import prctl

PR_SET_SECCOMP, MODE_FILTER = 22, 2
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
X32_BIT = 0x40000000

LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_SET, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, KILL_PROCESS, FAIL = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16

NAMESPACE_FLAGS = 0x7E020000
TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
SOCKET_TYPE_MASK, SOCKET_STREAM, SOCKET_DATAGRAM = 0xF, 1, 2
UNIX = 1

Instruction = tuple[int, int, int, int]
Numbers = dict[str, tuple[int | None, int | None]]

REFUSED: Numbers = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # mounts, roots and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
    "setns": (308, 268), "unshare": (272, 97),
    # the kernel itself
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "syslog": (103, 116),
    "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "_sysctl": (156, None), "uselib": (134, None),
    "personality": (135, 92), "modify_ldt": (154, None), "iopl": (172, None), "ioperm": (173, None),
    # the machine
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89),
    "clock_settime": (227, 112), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "vhangup": (153, 58), "sethostname": (170, 161), "setdomainname": (171, 162),
    # files past the path rules
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "fanotify_init": (300, 262),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setxattrat": (463, 463),
    "removexattrat": (466, 466), "file_setattr": (469, 469),
}  # fmt: skip
SKIPPED: Numbers = {"chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452)}
EXEC: Numbers = {"execve": (59, 221), "execveat": (322, 281)}
NETWORK: Numbers = {"socket": (41, 198), "connect": (42, 203)}
TRUNCATE: Numbers = {"truncate": (76, 45)}
SIGNAL_BY_PROCESS: Numbers = {
    "kill": (62, 129), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240)
}  # fmt: skip
SIGNAL_OTHERWISE: Numbers = {"tkill": (200, 130), "pidfd_send_signal": (424, 424)}
CLONE, CLONE3, IOCTL = (56, 220), (435, 435), (16, 29)
PRLIMIT, SOCKETPAIR = (302, 261), (53, 199)


def install(
    machine: str, *, network: bool, execute: bool, listen: bool = False, signals_only_to: int | None = None,
    refuse_truncate: bool = False,
) -> int:  # fmt: skip
    """Put the filter on this process. Needs no_new_privs. Returns how many instructions it has."""
    instructions = program(
        machine, network=network, execute=execute, listen=listen, signals_only_to=signals_only_to,
        refuse_truncate=refuse_truncate,
    )  # fmt: skip
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(buffer))
    prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.create_string_buffer(header, len(header)))
    return len(instructions)


def program(
    machine: str, *, network: bool, execute: bool, listen: bool = False, signals_only_to: int | None = None,
    refuse_truncate: bool = False,
) -> list[Instruction]:  # fmt: skip
    """The filter as (code, jump if true, jump if false, value).

    Without `network` no socket can be made or connected: sockets that are already open or
    listening go on working. `listen`: unix stream sockets can be made all the same, which without `connect`
    are good for listening only. `signals_only_to`: the one process that may be signalled, for
    kernels whose Landlock cannot limit signals.
    """
    column, architecture = ARCHITECTURES[machine]

    def numbers(*tables: Numbers) -> list[int]:
        return [number for table in tables for pair in table.values() if (number := pair[column]) is not None]

    refused = numbers(
        REFUSED,
        {} if execute else EXEC,
        {} if network else {"connect": NETWORK["connect"]} if listen else NETWORK,
        TRUNCATE if refuse_truncate else {},
        {} if signals_only_to is None else SIGNAL_OTHERWISE,
    )
    made: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if machine == "x86_64":
        made += [(JUMP_GREATER_EQUAL, 0, 1, X32_BIT), (RETURN, 0, 0, FAIL | errno.EPERM)]
    made += _answer(refused, errno.EPERM)
    made += _answer(numbers(SKIPPED), 0)
    made += _answer([CLONE3[column]], errno.ENOSYS)  # its flags cannot be seen; libc falls back to clone
    made += _when_argument(CLONE[column], 0, [(JUMP_SET, NAMESPACE_FLAGS)])
    made += _when_argument(IOCTL[column], 1, [(JUMP_EQUAL, value) for value in TERMINAL_INJECTION])
    made += _unless_argument(PRLIMIT[column], 0)
    if not network:
        if listen:
            made += _unix_streams_only(*numbers({"socket": NETWORK["socket"]}))
        made += _when_argument(SOCKETPAIR[column], 1, [(JUMP_EQUAL, SOCKET_DATAGRAM)], mask=SOCKET_TYPE_MASK)
    if signals_only_to is not None:
        for number in numbers(SIGNAL_BY_PROCESS):
            made += _unless_argument(number, signals_only_to)
    return [*made, (RETURN, 0, 0, ALLOW)]


def _answer(numbers: Iterable[int], code: int) -> list[Instruction]:
    return [
        instruction for number in numbers for instruction in ((JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, FAIL | code))
    ]


def _when_argument(
    number: int, argument: int, tests: list[tuple[int, int]], mask: int | None = None
) -> list[Instruction]:
    """Refuse the call when the low half of an argument passes any test, allow it otherwise."""
    body: list[Instruction] = [(LOAD, 0, 0, ARGUMENTS_AT + 8 * argument)]
    if mask is not None:
        body.append((AND, 0, 0, mask))
    body += [(test, len(tests) - at, 0, value) for at, (test, value) in enumerate(tests)]
    body += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, FAIL | errno.EPERM)]
    return [(JUMP_EQUAL, 0, len(body), number), *body]


def _unix_streams_only(number: int) -> list[Instruction]:
    """Refuse the making of any socket but a unix stream."""
    return [
        (JUMP_EQUAL, 0, 7, number),
        (LOAD, 0, 0, ARGUMENTS_AT),
        (JUMP_EQUAL, 0, 4, UNIX),
        (LOAD, 0, 0, ARGUMENTS_AT + 8),
        (AND, 0, 0, SOCKET_TYPE_MASK),
        (JUMP_EQUAL, 0, 1, SOCKET_STREAM),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, FAIL | errno.EPERM),
    ]


def _unless_argument(number: int, value: int) -> list[Instruction]:
    """Refuse the call unless the low half of its first argument is `value`."""
    body: list[Instruction] = [
        (LOAD, 0, 0, ARGUMENTS_AT),
        (JUMP_EQUAL, 0, 1, value),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, FAIL | errno.EPERM),
    ]
    return [(JUMP_EQUAL, 0, len(body), number), *body]
