"""A gateway that has no routing table yet: it starts before control, in a run directory that is new."""

from __future__ import annotations

import os

import httpx
import pytest

from inferry.compose.settings import READY
from inferry.types.routing import Order, RoutingTable, difference
from tests.support.fake_replica import make_key, table
from tests.support.gateway_process import Process
from tests.support.processes import wait_until

KEY, BEARER = make_key("admin")


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


def test_the_first_table_may_come_as_a_change_of_none(gateway):
    """So it does on a new home, where control is connected before it has anything to publish."""
    change = difference(RoutingTable(), table(KEY))
    assert change is not None
    gateway.give(Order(change=change))
    assert os.read(gateway.ready, 100) == READY
    answer = httpx.get(gateway.url + "/v2/models/iris", headers={"authorization": BEARER.decode()}, timeout=30)
    assert answer.status_code == 404, "it serves by that table, and did not wait for its patience to end"
    assert "no routing table" not in (gateway.layout.logs / "gateway-1.log").read_text()


def test_a_gateway_that_is_given_no_table_says_that_it_starts(gateway):
    """Not that the key is wrong: a client would give up."""
    assert os.read(gateway.ready, 100) == READY
    answer = httpx.get(gateway.url + "/v2/models/iris", headers={"authorization": BEARER.decode()}, timeout=30)
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "1"
    assert httpx.get(gateway.url + "/v2/models/iris").status_code == 401, "one without a key is told that at once"
