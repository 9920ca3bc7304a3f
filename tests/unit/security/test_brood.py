"""Work done alone: its exit code comes back, and nothing that it starts outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferry.security import linux

SOURCE = str(Path(linux.__file__).parents[2])
SCRIPT = """
import ctypes, os, signal, sys, time
sys.path.insert(0, {source!r})
from inferry.security.brood import alone
def work():
    {work}
os._exit(alone(work))
"""


def run(work: str) -> subprocess.Popen[bytes]:
    script = SCRIPT.format(source=SOURCE, work=work)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)


def exit_code(work: str) -> int:
    process = run(work)
    process.communicate(timeout=30)
    return process.returncode


def refused() -> bool:
    child = os.fork()
    if child == 0:
        try:
            linux.enter_namespaces(linux.CLONE_NEWPID)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


needs_namespaces = pytest.mark.skipif(
    not linux.machine() or refused(), reason="this host gives no process namespaces to this user"
)


@pytest.mark.parametrize("code", [0, 7])
def test_the_exit_code_is_that_of_the_work(code: int) -> None:
    assert exit_code(f"return {code}") == code


def test_a_death_by_a_signal_is_one_here_too() -> None:
    assert exit_code("ctypes.string_at(1)") == -signal.SIGSEGV


@needs_namespaces
def test_what_the_work_leaves_running_ends_with_it() -> None:
    left = "if os.fork() == 0:\n        os.setsid()\n        time.sleep(60)\n    return 3"
    process = run(left)
    begun = time.monotonic()
    output, _ = process.communicate(timeout=30)  # ends when nobody holds the pipe any more
    assert (process.returncode, output) == (3, b"")
    assert time.monotonic() - begun < 20


@needs_namespaces
def test_the_work_ends_when_its_starter_is_killed() -> None:
    process = run("print('on', flush=True)\n    time.sleep(60)")
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    process.kill()
    assert process.stdout.read() == b""  # ends when nobody holds the pipe any more
    process.wait(20)
    process.stdout.close()
