"""A gateway process on its own: no supervisor, no control, only what the test gives it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys

import msgspec

from inferry.compose.home import make_run
from inferry.compose.settings import GatewaySettings, Layout
from inferry.security.files import write_private
from tests.support.fake_replica import PEPPER
from tests.support.processes import wait_until


class Process:
    """A gateway process that no control speaks to but the test; `number`: which of the `gateways` of one home."""

    def __init__(self, home, number=1, gateways=1):
        home.mkdir(parents=True, exist_ok=True)
        run = home / "run"
        self.layout = Layout(home, run.resolve() if run.exists() else make_run(home))
        self.number = number
        if not self.layout.pepper.exists():
            write_private(self.layout.pepper, PEPPER)
        http, grpc = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        lifeline, self.hold = os.pipe()
        self.ready, tell = os.pipe()
        handed = {"listener": http.fileno(), "grpc": grpc.fileno(), "lifeline": lifeline, "ready": tell}
        settings = GatewaySettings(
            home=str(home),
            run=str(self.layout.run),
            number=number,
            gateways=gateways,
            log=f"gateway-{number}",
            **handed,
        )
        self.grpc = f"127.0.0.1:{grpc.getsockname()[1]}"
        self.url = f"http://127.0.0.1:{http.getsockname()[1]}"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "inferry.compose.gateway", msgspec.json.encode(settings).decode()],
            pass_fds=handed.values(),
        )
        for sock in (http, grpc):
            sock.close()
        for descriptor in (lifeline, tell):
            os.close(descriptor)

    def give(self, orders):
        """Be control for a moment, until the gateway serves by what it is given."""
        path = str(self.layout.gateway_socket(self.number))
        with socket.socket(socket.AF_UNIX) as sock:
            wait_until(lambda: sock.connect_ex(path) == 0, 60, "it listens on its private socket")
            sock.sendall(msgspec.json.encode(orders) + b"\n")
            with sock.makefile("rb") as said:
                while b'"applied":1' not in (line := said.readline()):
                    assert line, "the gateway hung up"

    def close(self):
        os.close(self.hold)
        self.process.kill()
        self.process.wait()
        os.close(self.ready)
        shutil.rmtree(self.layout.run, ignore_errors=True)
