"""A replica with the fake model that listens on TCP with TLS, as one on another machine does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from inferry.security.authority import Authority
from inferry.security.tls import replica_name
from inferry.types.identity import Identity
from inferry.types.routing import ReplicaAddress

ROOT = Path(__file__).parents[2]
WAIT_S = 60


class RemoteReplica:
    """`address` is what a routing table says of it. The test holds its lifeline and its gate."""

    def __init__(
        self, authority: Authority, id: str, host: str = "127.0.0.1", identity: Identity | None = None
    ) -> None:
        self.id = id
        shown = identity or authority.issue(replica_name(id), connects=False)
        with socket.socket() as listener:
            listener.bind((host, 0))
            listener.listen(16)
            lifeline, self.lifeline = os.pipe()
            self.gate, gate = socket.socketpair()
            inherited = (listener.fileno(), lifeline, gate.fileno())
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fake_model", *map(str, inherited), msgspec.json.encode(shown)],
                pass_fds=inherited, cwd=ROOT, env={**os.environ, "PYTHONPATH": "src"}, stderr=subprocess.PIPE,
            )  # fmt: skip
            os.close(lifeline)
            gate.close()
            self.port = listener.getsockname()[1]
        self.gate.settimeout(WAIT_S)
        self.address = ReplicaAddress(id=id, socket=f"tcp://{host}:{self.port}")

    def wait_until_running(self) -> None:
        assert self.gate.recv(2) == b"in"

    def let_go(self) -> None:
        self.gate.send(b"x")

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def close(self) -> None:
        self.kill()
        assert self.child.stderr is not None
        self.child.stderr.close()
        self.gate.close()
        os.close(self.lifeline)
