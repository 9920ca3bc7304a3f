"""Several gateway processes of one platform: whichever is asked tells what all of them counted."""

from __future__ import annotations

import os
import re
import signal

import grpc
import httpx
import pytest

from inferry.types.routing import Order
from tests.support.fake_replica import make_key, revision, table
from tests.support.gateway_process import Process
from tests.support.processes import wait_until
from tests.support.protos import message

KEY, BEARER = make_key("admin")
HEADERS = {"authorization": BEARER.decode()}
WAIT_S = 60


class Two:
    """Two gateways of one home."""

    def __init__(self, home):
        self.each = [Process(home, number, 2) for number in (1, 2)]

    def begin(self):
        for one in self.each:
            one.give(Order(table=table(KEY, iris=(revision(),))))

    def get(self, number, path):
        answer = httpx.get(self.each[number - 1].url + path, headers=HEADERS, timeout=WAIT_S)
        assert answer.status_code == 200, answer.text
        return answer

    def fail(self, number, times):
        """Requests that one of them refuses, and counts."""
        for _ in range(times):
            url = self.each[number - 1].url + "/v2/models/iris/versions/99/infer"
            assert httpx.post(url, headers=HEADERS, content=b"{}", timeout=WAIT_S).status_code == 404

    def metrics(self, number):
        """Refused requests by gateway, as one of them tells it, and which gateways it could ask."""
        page = self.get(number, "/metrics").text
        refused = re.findall(r'^inferry_requests_total\{.*gateway="(\d)",status="404"\} (\d+)$', page, re.MULTILINE)
        up = re.findall(r'^inferry_gateway_up\{gateway="(\d)"\} 1$', page, re.MULTILINE)
        return dict(refused), up

    def refused(self, number):
        (told,) = self.get(number, "/v2/models/iris/stats").json()["model_stats"]
        (every,) = self.get(number, "/v2/models/stats").json()["model_stats"]
        return told["inference_stats"]["fail"]["count"], every["inference_stats"]["fail"]["count"]

    def refused_by_grpc(self, number):
        with grpc.insecure_channel(self.each[number - 1].grpc) as channel:
            call = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelStatistics",
                request_serializer=lambda question: question.SerializeToString(),
                response_deserializer=message("inference.ModelStatisticsResponse").FromString,
            )
            question = message("inference.ModelStatisticsRequest")(name="iris")
            (told,) = call(question, metadata=tuple(HEADERS.items()), timeout=WAIT_S).model_stats
            return told.inference_stats.fail.count

    def close(self):
        for one in self.each:
            one.close()


@pytest.fixture
def two(tmp_path):
    made = Two(tmp_path / "home")
    try:
        made.begin()
        yield made
    finally:
        made.close()


def test_either_tells_what_both_counted_and_a_sibling_that_hangs_or_is_gone_is_left_out(two):
    two.fail(1, 2)
    two.fail(2, 3)
    for number in (1, 2):
        wait_until(
            lambda n=number: two.metrics(n) == ({"1": "2", "2": "3"}, ["1", "2"]), WAIT_S, "both are on the page"
        )
        wait_until(lambda n=number: two.refused(n) == (5, 5), WAIT_S, "the statistics are sums")
        wait_until(lambda n=number: two.refused_by_grpc(n) == 5, WAIT_S, "and so they are by gRPC")
    os.kill(two.each[1].process.pid, signal.SIGSTOP)
    try:
        assert two.metrics(1) == ({"1": "2"}, ["1"])
        assert two.refused(1) == (2, 2)
        assert two.refused_by_grpc(1) == 2
    finally:
        os.kill(two.each[1].process.pid, signal.SIGCONT)
    wait_until(lambda: two.metrics(1) == ({"1": "2", "2": "3"}, ["1", "2"]), WAIT_S, "it is back")
    two.each[1].process.kill()
    two.each[1].process.wait()
    assert two.metrics(1) == ({"1": "2"}, ["1"])
    assert two.refused(1) == (2, 2)
