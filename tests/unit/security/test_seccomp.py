"""The filter's instructions, run by a small BPF interpreter here."""

import errno
import re
import struct
from pathlib import Path

import pytest

from inferry.security import seccomp
from inferry.security.seccomp import ALLOW, FAIL, KILL_PROCESS, program

REFUSED, SKIPPED, ABSENT = FAIL | errno.EPERM, FAIL, FAIL | errno.ENOSYS
MACHINES = ("x86_64", "aarch64")


def run(instructions, number, *arguments, architecture):
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    at = value = 0
    while True:
        code, yes, no, constant = instructions[at]
        at += 1
        if code == seccomp.LOAD:
            (value,) = struct.unpack_from("<I", data, constant)
        elif code == seccomp.AND:
            value &= constant
        elif code == seccomp.RETURN:
            return constant
        else:
            holds = {
                seccomp.JUMP_EQUAL: value == constant,
                seccomp.JUMP_GREATER_EQUAL: value >= constant,
                seccomp.JUMP_SET: bool(value & constant),
            }[code]
            at += yes if holds else no


@pytest.fixture(params=MACHINES)
def call(request):
    column, architecture = seccomp.ARCHITECTURES[request.param]

    def ask(pair, *arguments, network=False, execute=False, **options):
        instructions = program(request.param, network=network, execute=execute, **options)
        number = pair if isinstance(pair, int) else pair[column]
        return run(instructions, number, *arguments, architecture=options.pop("architecture", architecture))

    ask.machine, ask.column = request.param, column
    return ask


def test_every_listed_call_is_refused(call):
    for pair in seccomp.REFUSED.values():
        if pair[call.column] is not None:
            assert call(pair) == REFUSED


def test_ordinary_calls_are_allowed(call):
    ordinary = {"read": (0, 63), "mmap": (9, 222), "futex": (202, 98), "openat": (257, 56), "accept4": (288, 242)}
    for pair in ordinary.values():
        assert call(pair) == ALLOW


def test_a_foreign_architecture_is_killed_and_x32_refused():
    instructions = program("x86_64", network=False, execute=False)
    assert run(instructions, 0, architecture=0x40000003) == KILL_PROCESS
    assert run(instructions, seccomp.X32_BIT | 0, architecture=0xC000003E) == REFUSED
    assert run(instructions, -1, architecture=0xC000003E) == REFUSED


def test_programs_start_only_when_asked(call):
    for pair in seccomp.EXEC.values():
        assert call(pair) == REFUSED
        assert call(pair, execute=True) == ALLOW


def test_sockets_are_made_only_with_network(call):
    for pair in seccomp.NETWORK.values():
        assert call(pair) == REFUSED
        assert call(pair, network=True) == ALLOW
    stream, datagram, nonblocking = 1, 2, 0o4000
    assert call(seccomp.SOCKETPAIR, 1, stream | nonblocking) == ALLOW
    assert call(seccomp.SOCKETPAIR, 1, datagram | nonblocking) == REFUSED
    assert call(seccomp.SOCKETPAIR, 1, datagram, network=True) == ALLOW


def test_who_may_listen_makes_unix_streams_only_and_connects_none(call):
    unix, internet, netlink, stream, datagram, closing = 1, 2, 16, 1, 2, 0o2000000
    make = seccomp.NETWORK["socket"]
    assert call(make, unix, stream | closing, listen=True) == ALLOW
    for family, kind in ((unix, datagram), (internet, stream), (internet, datagram), (netlink, 3)):
        assert call(make, family, kind | closing, listen=True) == REFUSED
    assert call(seccomp.NETWORK["connect"], listen=True) == REFUSED
    assert call(seccomp.REFUSED["ptrace"], listen=True) == REFUSED


def test_threads_start_and_namespaces_do_not(call):
    assert call(seccomp.CLONE, 0x003D0F00) == ALLOW  # what pthread_create asks for
    assert call(seccomp.CLONE, 17) == ALLOW  # fork
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert call(seccomp.CLONE, 17 | flag) == REFUSED
    assert call(seccomp.CLONE3) == ABSENT


def test_nothing_is_typed_into_the_terminal(call):
    assert call(seccomp.IOCTL, 0, 0x5412) == REFUSED
    assert call(seccomp.IOCTL, 0, 0x541C) == REFUSED
    assert call(seccomp.IOCTL, 0, (1 << 32) | 0x5412) == REFUSED
    assert call(seccomp.IOCTL, 0, 0x5401) == ALLOW


def test_limits_of_other_processes_are_out_of_reach(call):
    assert call(seccomp.PRLIMIT, 0) == ALLOW
    assert call(seccomp.PRLIMIT, 4242) == REFUSED


def test_changing_a_mode_is_skipped(call):
    for pair in seccomp.SKIPPED.values():
        if pair[call.column] is not None:
            assert call(pair) == SKIPPED


def test_older_kernels_get_signals_and_truncation_from_the_filter(call):
    kill, truncate = seccomp.SIGNAL_BY_PROCESS["kill"], seccomp.TRUNCATE["truncate"]
    assert call(kill, 7) == ALLOW
    assert call(kill, 7, signals_only_to=7) == ALLOW
    assert call(kill, 8, signals_only_to=7) == REFUSED
    assert call(kill, 2**64 - 1, signals_only_to=7) == REFUSED
    assert call(seccomp.SIGNAL_OTHERWISE["pidfd_send_signal"], signals_only_to=7) == REFUSED
    assert call(truncate) == ALLOW
    assert call(truncate, refuse_truncate=True) == REFUSED


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_are_the_kernels(column, header):
    if not Path(header).exists():
        pytest.skip("no kernel headers here")
    real = {}
    for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$", Path(header).read_text(), re.MULTILINE):
        real.setdefault(name, int(number))
    tables = [seccomp.REFUSED, seccomp.SKIPPED, seccomp.EXEC, seccomp.NETWORK, seccomp.TRUNCATE]
    tables += [seccomp.SIGNAL_BY_PROCESS, seccomp.SIGNAL_OTHERWISE]
    ours = {name: pair[column] for table in tables for name, pair in table.items()}
    ours |= {"clone": seccomp.CLONE[column], "clone3": seccomp.CLONE3[column], "ioctl": seccomp.IOCTL[column]}
    ours |= {"prlimit64": seccomp.PRLIMIT[column], "socketpair": seccomp.SOCKETPAIR[column]}
    newer = {"open_tree_attr", "setxattrat", "removexattrat", "file_setattr", "fchmodat2"}
    for name, number in ours.items():
        if name not in newer or name in real:
            assert real.get(name) == number, name
