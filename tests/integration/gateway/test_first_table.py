"""A gateway that has no routing table yet: it starts before control, in a run directory that is new."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import httpx
import msgspec
import pytest

from inferry.compose.settings import READY, GatewaySettings, Layout
from inferry.security.files import write_private
from inferry.types.routing import Order
from tests.support.fake_replica import PEPPER, make_key, table
from tests.support.processes import wait_until

KEY, BEARER = make_key("admin")


class Process:
    """A gateway process that no control speaks to but the test."""

    def __init__(self, home):
        (home / "run").mkdir(parents=True)
        self.layout = Layout(home, home / "run")
        write_private(self.layout.pepper, PEPPER)
        http, grpc = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        lifeline, self.hold = os.pipe()
        self.ready, tell = os.pipe()
        handed = {"listener": http.fileno(), "grpc": grpc.fileno(), "lifeline": lifeline, "ready": tell}
        settings = GatewaySettings(home=str(home), run=str(home / "run"), **handed)
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
        wait_until(self.layout.gateway_socket(1).exists, 60, "its private socket is there")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.layout.gateway_socket(1)))
            sock.sendall(msgspec.json.encode(orders) + b"\n")
            with sock.makefile("rb") as said:
                while b'"applied":1' not in said.readline():
                    pass

    def close(self):
        os.close(self.hold)
        self.process.kill()
        self.process.wait()
        os.close(self.ready)


@pytest.fixture
def gateway(tmp_path):
    process = Process(tmp_path / "home")
    try:
        yield process
    finally:
        process.close()


def test_who_calls_before_there_is_a_table_waits_for_it(gateway):
    with httpx.Client(headers={"authorization": BEARER.decode()}) as client:
        wait_until(gateway.layout.gateway_socket(1).exists, 60, "its private socket is there")
        with pytest.raises(httpx.ReadTimeout):
            client.get(gateway.url + "/v2/models/iris", timeout=0.5)
        gateway.give(Order(table=table(KEY)))
        assert os.read(gateway.ready, 100) == READY
        answer = client.get(gateway.url + "/v2/models/iris", timeout=30)
    assert answer.status_code == 404, "its key is known, and there is no such endpoint"


def test_a_gateway_that_is_given_no_table_says_that_it_starts(gateway):
    """Not that the key is wrong: a client would give up."""
    assert os.read(gateway.ready, 100) == READY
    answer = httpx.get(gateway.url + "/v2/models/iris", headers={"authorization": BEARER.decode()}, timeout=30)
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "1"
    assert httpx.get(gateway.url + "/v2/models/iris").status_code == 401, "one without a key is told that at once"
