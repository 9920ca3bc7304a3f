"""Brood: run work so that nothing it starts outlives it.

Data flow: a forked, single-threaded process -> a process namespace of its own -> its first
process does the work; when that ends, the kernel ends all that descends from it, whatever it did
to get away. It ends with us, too, and we with our parent. Standard library only.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable

from inferry.security import linux


def die_with_parent() -> None:
    """End by SIGKILL when the parent ends. The kernel forgets this when a process gains privileges."""
    end_with_parent(signal.SIGKILL)


def end_with_parent(how: signal.Signals) -> None:
    """Get a signal when the parent ends."""
    linux.prctl(linux.PR_SET_PDEATHSIG, how)


def alone(work: Callable[[], int]) -> int:
    """The exit code of `work`, done in a namespace of its own or, where the host refuses one, right here.

    Returns in both processes; each must end then. Of a death by a signal we die as well.
    """
    die_with_parent()
    try:
        linux.enter_namespaces(linux.CLONE_NEWPID)
    except OSError:
        return work()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    first = os.fork()
    if first == 0:
        die_with_parent()
        return work()
    _, status = os.waitpid(first, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        os.kill(os.getpid(), -code)
    return code
