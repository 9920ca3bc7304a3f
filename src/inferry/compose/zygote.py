"""Zygote: one process per environment that has its framework imported and forks on order.

Data flow: control's Fork lines -> fork -> the child sheds all that is the zygote's, confines
itself and becomes a replica, an inspector or a converter; SIGCHLD -> exit events back to control. A fork
takes milliseconds where a fresh interpreter with its framework takes a second.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

from inferry import plugins
from inferry.types.zygote import Fork, ZygoteConfig, ZygoteEvent

REPLICA = "inferry.compose.replica"
"""Imported before replicas are forked, so that none of them need do it: that was most of the time of a start."""


def main(argument: str) -> None:
    """Run until the lifeline closes."""
    config = msgspec.json.decode(argument, type=ZygoteConfig)
    os.umask(0o077)
    redirect(config.log)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    runtime = plugins.load("inferry.runtimes", config.runtime)
    for name in (*runtime.imports, REPLICA):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    Zygote(config).run()


def redirect(log: str) -> None:
    """Send standard output and error to the end of a log file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


class Log(io.RawIOBase):
    """A log whose writes never fail: a full disk must not end a replica that has something to say."""

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any, /) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError):
            os.write(2, data)
        return len(data)


def speak_safely() -> None:
    """Point Python's own standard streams at the log, line by line, without their errors."""
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BufferedWriter(Log()), encoding="utf-8", errors="replace", line_buffering=True)
        setattr(sys, name, stream)


class Zygote:
    """The loop: accept control, take orders, fork, report exits."""

    def __init__(self, config: ZygoteConfig) -> None:
        self.config = config
        self.children: dict[int, str] = {}
        self.epoch = config.epoch
        self.peers: dict[int, tuple[socket.socket, bytearray]] = {}
        self.listener = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(FileNotFoundError):
            Path(config.socket).unlink()
        self.listener.bind(config.socket)
        self.listener.listen(8)
        self.waker, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        os.set_blocking(self.waker, False)
        self.wakeup = wakeup
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        self.poller = select.poll()
        for descriptor in (self.listener.fileno(), self.waker, config.lifeline):
            self.poller.register(descriptor, select.POLLIN)

    def run(self) -> None:
        """Until the platform is gone."""
        while True:
            for descriptor, _ in self.poller.poll():
                if descriptor == self.config.lifeline:
                    return
                if descriptor == self.waker:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.waker, 512)
                    self._reap()
                elif descriptor == self.listener.fileno():
                    peer, _ = self.listener.accept()
                    self.peers[peer.fileno()] = (peer, bytearray())
                    self.poller.register(peer.fileno(), select.POLLIN)
                elif descriptor in self.peers:
                    self._receive(descriptor)

    def _receive(self, descriptor: int) -> None:
        peer, inbox = self.peers[descriptor]
        data = peer.recv(1 << 16)
        if not data:
            self.poller.unregister(descriptor)
            del self.peers[descriptor]
            peer.close()
            return
        inbox += data
        while (end := inbox.find(b"\n")) >= 0:
            order = msgspec.json.decode(bytes(inbox[:end]), type=Fork)
            del inbox[: end + 1]
            self._obey(order)

    def _obey(self, order: Fork) -> None:
        if order.epoch < self.epoch:
            self._tell(ZygoteEvent(id=order.id, refused=True))
            return
        self.epoch = order.epoch
        if order.replica is None and order.inspect is None and order.convert is None and order.check is None:
            for pid, id in self.children.items():
                self._tell(ZygoteEvent(id=id, pid=pid))
            self._tell(ZygoteEvent(id=order.id))
            return
        pid = os.fork()
        if pid == 0:
            self._child(order)
        self.children[pid] = order.id
        self._tell(ZygoteEvent(id=order.id, pid=pid))

    def _reap(self) -> None:
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            self._tell(ZygoteEvent(id=self.children.pop(pid, ""), pid=pid, status=code))

    def _tell(self, event: ZygoteEvent) -> None:
        line = msgspec.json.encode(event) + b"\n"
        for peer, _ in self.peers.values():
            with contextlib.suppress(OSError):  # a dead control is noticed by its own read
                peer.sendall(line)

    def _child(self, order: Fork) -> None:
        """Become what the order says. Never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.listener.close()
            for peer, _ in self.peers.values():
                peer.close()
            os.close(self.waker)
            os.close(self.wakeup)
            redirect(order.log)
            Path("/proc/self/oom_score_adj").write_text("500")  # the kernel ends models before the platform
            speak_safely()
            if order.replica is not None:
                from inferry.compose.replica import serve_replica

                code = serve_replica(order.replica, self.config.lifeline)
            elif order.inspect is not None:
                from inferry.compose.inspector import run_inspection

                code = run_inspection(order.inspect)
            elif order.convert is not None:
                from inferry.compose.converter import run_conversion

                code = run_conversion(order.convert)
            elif order.check is not None:
                from inferry.compose.converter import run_check

                code = run_check(order.check)
        except BaseException:  # noqa: BLE001 - the child must end here whatever happens
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
