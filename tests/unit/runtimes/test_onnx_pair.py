"""Two sessions of a model: which of them answers a call."""

import threading
from contextlib import contextmanager

import pytest

from inferry.policy.threads import SOON, Ways
from inferry.runtimes.onnx_pair import Pair


class Session:
    """Notes its calls; one may be held until it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.entered, self.free = threading.Event(), threading.Event()
        self.free.set()

    def run(self, outputs, feeds):
        self.calls += 1
        self.entered.set()
        assert self.free.wait(60)
        return outputs


class Feed:
    shape = (1, 4)


FEEDS = {"x": Feed()}


@contextmanager
def under_way(pair, many):
    """A call that the session with many threads is busy with."""
    many.free.clear()
    call = threading.Thread(target=pair.run, args=(["y"], FEEDS))
    call.start()
    assert many.entered.wait(60)
    try:
        yield
    finally:
        many.free.set()
        call.join(60)


def test_a_call_that_meets_another_takes_one_thread():
    many, one = Session(), Session()
    pair = Pair(many, one, None)
    with under_way(pair, many):
        pair.run(["y"], FEEDS)
        assert (many.calls, one.calls) == (1, 1)
    pair.run(["y"], FEEDS)
    assert (many.calls, one.calls) == (2, 1)


def test_lone_calls_try_the_other_way_now_and_then():
    many, one = Session(), Session()
    pair = Pair(many, one, Ways(many=True))
    for _ in range(SOON + 2):
        pair.run(["y"], FEEDS)
    assert (many.calls, one.calls) == (SOON, 2)


def test_a_call_that_fails_is_over():
    class Broken(Session):
        def run(self, outputs, feeds):
            super().run(outputs, feeds)
            raise ValueError("no")

    many, one = Broken(), Session()
    pair = Pair(many, one, None)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            pair.run(["y"], FEEDS)
    assert (many.calls, one.calls) == (3, 0)


def test_what_met_another_call_teaches_nothing():
    many, one = Session(), Session()
    ways = Ways(many=True)
    pair = Pair(many, one, ways)
    with under_way(pair, many):
        pair.run(["y"], FEEDS)
    assert all(ways.next(FEEDS["x"].shape) for _ in range(3 * SOON)), "no time is known, so nothing is tried"
