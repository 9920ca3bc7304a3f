"""What a process that supervises others does with them: waits for news of them, finds them, tells them secrets.

Data flow of the waker: a signal, the end of a child among them -> a byte on a pipe -> `wait` returns. Nothing that
comes between a look and the next `wait` is missed: the byte is there.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path
from socket import socket


class Waker:
    """Of the main thread. Signals wake it that have a handler of Python's; the end of a child is given one here."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        for descriptor in (self._read, write):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def wait(self, seconds: float, sockets: Iterable[socket] = ()) -> set[socket]:
        """Until a signal comes, a socket has something to read, or so many seconds are over. Those sockets."""
        watched = {sock.fileno(): sock for sock in sockets}
        ready, _, _ = select.select([self._read, *watched], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)
        return {watched[descriptor] for descriptor in ready if descriptor in watched}


def hand_over(text: str) -> int:
    """A pipe with a short text in it."""
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    return read


def descendants(*, direct: bool = False) -> set[int]:
    """All processes below this one."""
    found: set[int] = set()
    queue = [os.getpid()]
    while queue:
        parent = queue.pop()
        with contextlib.suppress(OSError):
            kids = {int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()}
            found |= kids
            if not direct:
                queue += kids
    return found
