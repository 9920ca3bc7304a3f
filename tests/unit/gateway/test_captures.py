"""Captures: a bounded queue that never holds up an answer, and loses nothing that control could have had."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from inferry.gateway import captures as module
from inferry.gateway.captures import Captures
from inferry.gateway.head import Head
from inferry.types import frames
from inferry.types.feedback import CapturedInput
from inferry.types.traffic import Sampling, Split


class Loop:
    """Timers that go off when the test says so."""

    def __init__(self):
        self.due = []

    def call_later(self, seconds, call):
        self.due.append(call)

    def second(self):
        due, self.due = self.due, []
        for call in due:
            call()


class Control:
    """Takes batches while it is there."""

    def __init__(self):
        self.there = True
        self.batches = []

    def take(self, batch):
        if self.there:
            self.batches.append(batch)
        return self.there

    @property
    def ids(self):
        return [answer.id for batch in self.batches for answer in batch.answers]


@pytest.fixture
def world():
    loop, control = Loop(), Control()
    return SimpleNamespace(loop=loop, control=control, captures=Captures(loop, control.take))


def endpoint(name="iris", key_header=b"", key_field="", **sampling):
    plan = SimpleNamespace(name=name, split=Split(sampling=Sampling(**sampling)))
    return SimpleNamespace(name=name.encode(), plan=plan, key_header=key_header, key_field=key_field)


def answer(world, id=b"a", *, of=None, body=b"{}", status=200, head=None, request=b""):
    revision = SimpleNamespace(plan=SimpleNamespace(number=3, version=7))
    pending = SimpleNamespace(endpoint=of or endpoint(), revision=revision, head=head or Head(), body=request)
    world.captures.take(pending, frames.Reply(1, frames.RESULT, status=status, body=body), id)


def test_answers_of_a_second_go_to_control_in_one_batch(world) -> None:
    for id in (b"a", b"b"):
        answer(world, id, body=b'{"x": 1}')
    assert not world.control.batches
    world.loop.second()
    (batch,) = world.control.batches
    assert [(one.endpoint, one.revision, one.version, one.id, one.body) for one in batch.answers] == [
        ("iris", 3, 7, "a", b'{"x": 1}'), ("iris", 3, 7, "b", b'{"x": 1}'),
    ]  # fmt: skip
    assert len({one.key for one in batch.answers}) == 2  # without a key each request is on its own


def asked(media=b"application/json", flags=0):
    head = Head()
    head.headers = [(b"authorization", b"Bearer inf_secret"), (b"cookie", b"secret"), (b"content-type", media)]
    head.flags, head.door = flags | frames.FLAG_STREAM, frames.DOOR_PLAIN
    return head


def test_what_was_asked_goes_along_only_where_that_is_wanted_and_without_credentials(world) -> None:
    answer(world, b"a", request=b"[1]", head=asked())
    of = endpoint("kept", inputs=100)
    answer(world, b"b", of=of, request=bytearray(b"[2]"), head=asked(flags=frames.FLAG_GZIP))
    answer(world, b"c", of=of, request=b"x" * module.MAX_INPUT, head=asked())
    world.loop.second()
    first, second, third = [one for batch in world.control.batches for one in batch.answers]
    assert (first.input, third.input) == (None, None)
    assert second.input == CapturedInput("application/json", frames.FLAG_GZIP, 0, b"[2]")
    assert (world.captures.inputs, world.captures.inputs_dropped) == (1, 1)
    for one in (first, second, third):
        assert b"secret" not in msgspec.msgpack.encode(one)


def test_what_is_wanted_holds_at_once_not_from_the_next_second(world) -> None:
    answer(world, b"before", of=endpoint(percent=100), request=b"[1]")
    answer(world, b"asked", of=endpoint(inputs=100), request=b"[2]")
    answer(world, b"none", of=endpoint(most_per_s=0), request=b"[3]")
    world.loop.second()
    assert [(one.id, one.input is not None) for one in world.control.batches[0].answers] == [
        ("before", False), ("asked", True),
    ]  # fmt: skip


def test_a_share_of_what_was_asked_is_the_same_whenever_it_is_looked_at(world) -> None:
    of = endpoint(inputs=30, most_per_s=10_000)
    for number in range(1000):
        answer(world, b"r%d" % number, of=of, request=b"[]")
    assert 200 < world.captures.inputs < 400


def test_only_good_answers_are_kept_and_a_large_one_without_its_body(world) -> None:
    answer(world, b"bad", status=500)
    answer(world, b"large", body=b"x" * (module.MAX_ANSWER + 1))
    answer(world, b"elsewhere", body=memoryview(b"shared"))
    answer(world, b"", body=b"1")
    world.loop.second()
    (batch,) = world.control.batches
    assert [(one.id, one.body) for one in batch.answers[:2]] == [("large", b""), ("elsewhere", b"")]
    assert batch.answers[2].id  # an answer whose client knows no id gets one


def test_each_endpoint_has_its_share_of_a_second(world) -> None:
    few, many = endpoint("few", most_per_s=2), endpoint("many")
    for second in range(2):
        for n in range(5):
            answer(world, b"few-%d-%d" % (second, n), of=few)
            answer(world, b"many-%d-%d" % (second, n), of=many)
        world.loop.second()
        for batch in world.control.batches:
            world.captures.kept(batch.number)
    assert [id for id in world.control.ids if id.startswith("few")] == ["few-0-0", "few-0-1", "few-1-0", "few-1-1"]
    assert len(world.control.ids) == 14


def test_a_share_is_chosen_by_the_ids_alone(world) -> None:
    some = endpoint(percent=30, most_per_s=1000)
    ids = [b"id-%d" % n for n in range(1000)]
    for _ in range(2):
        for id in ids:
            answer(world, id, of=some)
        world.loop.second()
        while world.control.batches[-1].number in world.captures._flights:
            world.captures.kept(world.control.batches[-1].number)
    kept = world.control.ids
    half = len(kept) // 2
    assert kept[:half] == kept[half:]
    assert 250 < half < 350


def test_one_key_has_one_hash_wherever_it_stands(world) -> None:
    head = Head()
    head.headers = [(b"x-user", b"ann")]
    answer(world, b"1", of=endpoint(key_header=b"x-user"), head=head)
    answer(world, b"2", of=endpoint(key_field="user"), request=b'{"user": "ann"}')
    answer(world, b"3", of=endpoint(key_field="user"), request=b'{"user": "bob"}')
    world.loop.second()
    one, two, three = (found.key for found in world.control.batches[0].answers)
    assert one == two != three


def test_batches_go_one_at_a_time_unless_feedback_waits_for_them(world, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 2)
    for n in range(6):
        answer(world, b"%d" % n)
    world.loop.second()
    assert world.control.ids == ["0", "1"]
    world.captures.kept(99)  # nobody's
    assert world.control.ids == ["0", "1"]
    world.captures.kept(1)
    assert world.control.ids == ["0", "1", "2", "3"]
    world.captures.push(10)
    assert world.control.ids == ["0", "1", "2", "3", "4", "5"]


def test_what_comes_while_control_writes_waits_for_its_second_unless_it_is_many(world, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 3)
    answer(world, b"0")
    world.loop.second()
    answer(world, b"1")
    world.captures.kept(1)
    assert world.control.ids == ["0"]
    world.loop.second()
    assert world.control.ids == ["0", "1"]
    for n in range(2, 6):
        answer(world, b"%d" % n)
    world.captures.kept(2)
    assert world.control.ids == ["0", "1", "2", "3", "4"]
    world.loop.second()  # control has a batch to write
    assert len(world.control.batches) == 3
    world.captures.kept(3)
    assert world.control.ids == ["0", "1", "2", "3", "4", "5"]  # no other second may come


def test_what_control_did_not_confirm_goes_again_in_order(world, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 2)
    for n in range(5):
        answer(world, b"%d" % n)
    world.captures.push(2)
    world.control.there = False
    world.captures.lost()
    world.loop.second()
    world.control.there, world.control.batches = True, []
    world.captures.push(10)
    assert world.control.ids == ["0", "1", "2", "3", "4"]
    assert world.captures.dropped == 0


@pytest.mark.parametrize(("limit", "value"), [("MAX_QUEUE", 3), ("MAX_BYTES", 1100)])
def test_without_control_the_oldest_are_dropped_and_counted(world, monkeypatch, limit, value) -> None:
    monkeypatch.setattr(module, limit, value)
    world.control.there = False
    for n in range(10):
        answer(world, b"%d" % n)
        world.loop.second()
    world.control.there = True
    world.captures.push()
    assert world.control.ids == ["7", "8", "9"]
    assert (world.captures.taken, world.captures.dropped) == (10, 7)
