"""Lanes: a model with an engine of its own answers several requests beside each other."""

import json
import select
import threading
import time

import numpy as np
import pytest

from inferry.errors import InvalidInput
from inferry.interfaces.runtime import Said
from inferry.replica.engine import Engine
from inferry.replica.lanes import ROOM
from inferry.types import frames
from tests.support.fake_model import DOOR, SIGNATURE, FakeCodec, FakePeer


class FakeEngine:
    """Two slots; each request says what the test puts into its queue, until that says stop."""

    slots = 2

    def __init__(self):
        self.steps = {}
        self.begun, self.ended = [], []
        self.lock = threading.Condition()

    def respond(self, inputs, asker):
        number = int(inputs["x"][0])
        with self.lock:
            self.begun.append(number)
            self.lock.notify_all()
        try:
            while True:
                with self.lock:
                    assert self.lock.wait_for(lambda: self.steps.get(number), 10)
                    step = self.steps[number].pop(0)
                if step == "end":
                    return Said(None if asker.parts else {"y": np.array([number])}, 3, 5)
                if step == "fail":
                    raise InvalidInput("No.", help="Never.")
                if step == "ask":
                    while asker.waits():
                        time.sleep(0.005)
                    return Said()
                if not asker.say({"y": np.array([step])}):
                    return Said()
        finally:
            with self.lock:
                self.ended.append(number)
                self.lock.notify_all()

    def let(self, number, *steps):
        with self.lock:
            self.steps.setdefault(number, []).extend(steps)
            self.lock.notify_all()

    def wait(self, of, number):
        with self.lock:
            assert self.lock.wait_for(lambda: number in of, 10), (of, number)


class Lane:
    """An engine on the fake, one peer, and the loop's part of the work."""

    def __init__(self):
        self.fake, self.peer = FakeEngine(), FakePeer()
        self.engine = Engine(self.fake, SIGNATURE, {DOOR: FakeCodec()})

    def ask(self, number, *, stream=True, deadline=0):
        flags = frames.FLAG_STREAM if stream else 0
        body = json.dumps([number]).encode()
        self.engine.offer(frames.Request(number, frames.INFER, DOOR, flags, 0, deadline, "", "", body), self.peer)

    def until(self, done):
        """Collect what the lanes say until `done(replies)`."""
        limit = time.monotonic() + 10
        while not done(self.peer.replies):
            assert time.monotonic() < limit, self.peer.replies
            if select.select([self.engine.turns.descriptor], [], [], 0.1)[0]:
                self.engine.collect()

    def kinds(self, number):
        return [reply.kind for reply in self.peer.replies if reply.id == number]


@pytest.fixture
def lane():
    return Lane()


def results(*numbers):
    return lambda replies: set(numbers) <= {reply.id for reply in replies if reply.kind == frames.RESULT}


def test_no_stream_waits_for_another(lane):
    lane.ask(1)
    lane.ask(2)
    lane.fake.let(2, 20, "end")  # 1 says nothing yet
    lane.until(results(2))
    assert lane.kinds(1) == []
    assert lane.kinds(2) == [frames.PART, frames.RESULT]
    lane.fake.let(1, 10, 11, "end")
    lane.until(results(1))
    assert lane.kinds(1) == [frames.PART, frames.PART, frames.RESULT]
    last = lane.peer.replies[-1]
    assert (last.content, last.tokens) == (frames.CONTENT_END, (3, 5))


def test_more_requests_than_slots_wait_their_turn(lane):
    for number in (1, 2, 3):
        lane.ask(number)
    lane.fake.wait(lane.fake.begun, 2)
    assert 3 not in lane.fake.begun
    assert lane.engine.busy
    lane.fake.let(1, "end")
    lane.until(results(1))
    lane.fake.wait(lane.fake.begun, 3)
    lane.fake.let(2, "end")
    lane.fake.let(3, "end")
    lane.until(results(2, 3))
    assert not lane.engine.busy


def test_a_whole_answer_is_one_reply(lane):
    lane.ask(1, stream=False)
    lane.fake.let(1, "end")
    lane.until(results(1))
    assert [(reply.kind, reply.status, reply.tokens) for reply in lane.peer.replies] == [(frames.RESULT, 200, (3, 5))]


def test_an_error_of_the_model_costs_its_own_request(lane):
    lane.ask(1, stream=False)
    lane.fake.let(1, "fail")
    lane.until(results(1))
    assert lane.peer.replies[0].status == 400


@pytest.mark.parametrize("stream", [True, False])
def test_a_cancelled_request_gives_its_slot_back(lane, stream):
    lane.ask(1, stream=stream)
    lane.ask(2)
    lane.ask(3)
    lane.fake.let(1, *(("ask",) if not stream else ()))
    lane.fake.wait(lane.fake.begun, 1)
    lane.engine.cancel(1, lane.peer)
    assert [(reply.id, reply.status) for reply in lane.peer.replies] == [(1, frames.CANCELLED)]
    lane.fake.let(1, 10)
    lane.fake.wait(lane.fake.ended, 1)
    lane.until(lambda _: 3 in lane.fake.begun)
    assert lane.kinds(1) == [frames.RESULT]
    lane.fake.let(2, "end")
    lane.fake.let(3, "end")
    lane.until(results(2, 3))


def test_one_that_waits_is_cancelled_before_the_model_sees_it(lane):
    for number in (1, 2, 3):
        lane.ask(number)
    lane.engine.cancel(3, lane.peer)
    assert (lane.peer.replies[0].id, lane.peer.replies[0].kind) == (3, frames.RESULT)
    for number in (1, 2):
        lane.fake.let(number, "end")
    lane.until(results(1, 2))
    assert 3 not in lane.fake.begun


def test_a_peer_that_is_gone_leaves_nothing_running(lane):
    lane.ask(1)
    lane.ask(2)
    lane.ask(3)
    lane.fake.wait(lane.fake.begun, 2)
    lane.engine.forget(lane.peer)
    for number in (1, 2):
        lane.fake.let(number, 0)
        lane.fake.wait(lane.fake.ended, number)
    lane.until(lambda _: not lane.engine.busy)
    assert lane.peer.replies == []
    assert 3 not in lane.fake.begun


def test_an_answer_that_is_not_heard_waits_and_can_still_be_cancelled(lane):
    lane.ask(1)
    lane.fake.let(1, *range(10, 10 + 2 * ROOM))
    lane.fake.wait(lane.fake.begun, 1)
    time.sleep(0.2)
    with lane.fake.lock:
        assert len(lane.fake.steps[1]) == 2 * ROOM - ROOM - 1  # one more is being said
    lane.engine.cancel(1, lane.peer)
    lane.fake.wait(lane.fake.ended, 1)


def test_a_deadline_ends_an_answer_that_is_not_over(lane):
    lane.ask(1, stream=False, deadline=time.monotonic_ns() // 1000 + 50_000)
    lane.fake.let(1, "ask")
    lane.until(results(1))
    assert lane.peer.replies[0].status == 504


def test_each_part_gives_the_next_as_long_as_the_first_had(lane):
    lane.ask(1, deadline=time.monotonic_ns() // 1000 + 400_000)
    for _ in range(4):
        lane.fake.let(1, 10)
        time.sleep(0.15)
    lane.fake.let(1, "end")
    lane.until(results(1))
    assert lane.peer.replies[-1].status == 200
    assert len(lane.kinds(1)) == 5


def test_what_is_too_late_to_begin_is_refused(lane):
    lane.ask(1, deadline=1)
    assert lane.peer.replies[0].status == 504
    assert lane.fake.begun == []


def test_tokens_cross_the_socket():
    reply = frames.Reply(7, frames.RESULT, body=b"{}", tokens=(1000, 2))
    inbox = frames.Inbox()
    inbox.feed(frames.pack_reply(reply))
    assert list(inbox.replies()) == [reply]


def test_tokens_that_are_not_there_break_the_stream():
    inbox = frames.Inbox()
    inbox.feed(frames.pack_reply(frames.Reply(7, frames.RESULT, frames.CONTENT_JSON | frames.TOLD, body=b"{}")))
    with pytest.raises(frames.FrameError):
        list(inbox.replies())
