"""Core and links: what happens to requests while tables change and replicas come, hang and die."""

import asyncio
import contextlib
import socket

import pytest

from inferry.gateway import holding
from inferry.gateway.core import MAX_MOVES
from inferry.policy import admission
from inferry.types import frames
from tests.support.core_world import KEY, WAIT_S, World
from tests.support.fake_replica import make_key, revision


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path)
    yield made
    await made.close()
    assert made.core.inflight == 0


async def asked(replica):
    return await asyncio.wait_for(replica.asked.get(), WAIT_S)


async def test_a_request_is_answered_and_counted(world):
    replica = await world.replica("a")
    world.apply(iris=(revision(replica),))
    await world.ready()
    assert await world.submit(body=b"12345").outcome() == (200, "a")
    request = await asked(replica)
    assert (request.kind, request.door, request.name, request.version, request.body) == (
        frames.INFER, frames.DOOR_PLAIN, "iris", "10", b"12345",
    )  # fmt: skip
    assert 'door="plain",status="200"} 1' in world.metrics.render()


async def test_a_replica_gets_something_to_begin_with_while_more_comes_in(world):
    replica, inbox = world.unborn("a"), frames.Inbox()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(replica.path)
        listener.listen()
        world.apply(iris=(revision(replica),))
        await world.ready()
        with listener.accept()[0] as peer:
            assert peer.recv(1) == frames.WORKS

            def arrived():
                with contextlib.suppress(BlockingIOError):
                    inbox.feed(peer.recv(1 << 20, socket.MSG_DONTWAIT))
                return len(list(inbox.requests()))

            world.submit()
            assert arrived() == 1  # it had nothing to do
            for _ in range(2 * frames.TOGETHER + 3):
                world.submit()
            assert arrived() == 2 * frames.TOGETHER
            await asyncio.sleep(0)
            assert arrived() == 3


async def test_a_replica_that_dies_while_it_is_sent_many_requests_loses_none(world):
    replica, other = world.unborn("a"), await world.replica("b")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(replica.path)
        listener.listen()
        world.apply(iris=(revision(replica),))
        await world.ready()
        listener.accept()[0].close()
    askers = [world.submit() for _ in range(3 * frames.TOGETHER)]  # before the loop sees that it is gone
    world.apply(iris=(revision(other),))
    assert {await asker.outcome() for asker in askers} == {(200, "b")}


async def test_requests_are_held_until_a_replica_comes(world):
    late = world.unborn("late")
    world.apply(iris=(revision(late),))
    askers = [world.submit() for _ in range(20)]
    await asyncio.sleep(0.03)
    assert not any(asker.done.done() for asker in askers)
    await late.start()
    assert {await asker.outcome() for asker in askers} == {(200, "late")}


async def test_requests_held_without_any_replica_go_to_the_one_a_new_table_brings(world):
    world.apply(iris=(revision(),))
    asker = world.submit()
    replica = await world.replica("a")
    world.apply(iris=(revision(replica, number=2),))
    assert await asker.outcome() == (200, "a")
    assert asker.revision == 2


async def test_held_requests_of_an_endpoint_that_goes_away_are_told_so(world):
    world.apply(iris=(revision(),))
    asker = world.submit()
    world.apply()
    assert await asker.outcome() == (404, "not_found")


async def test_a_held_request_for_a_version_that_goes_away_is_told_so(world):
    world.apply(iris=(revision(),))
    asker = world.submit(version=b"10")
    world.apply(iris=(revision(number=2),))
    assert await asker.outcome() == (404, "not_found")


async def test_swapping_tables_under_load_loses_nothing(world):
    replicas = [await world.replica(f"r{number}") for number in range(4)]
    world.apply(iris=(revision(replicas[0]),))
    askers = []
    for round_ in range(60):
        askers += [world.submit() for _ in range(10)]
        live = [replicas[round_ % 4], replicas[(round_ * 7 + 1) % 4]]
        rows = (revision(live[0], number=1, weight=50), revision(live[1], number=2, weight=50))
        world.apply(iris=rows if round_ % 3 else rows[:1])
        await asyncio.sleep(0)
    assert {(await asker.outcome())[0] for asker in askers} == {200}
    assert world.core.inflight == 0


async def test_a_retired_replica_finishes_what_it_has_and_is_let_go(world):
    old, new = await world.replica("old", hold=True), await world.replica("new")
    world.apply(iris=(revision(old),))
    await world.ready()
    before = world.submit()
    request = await asked(old)
    world.apply(iris=(revision(new, number=2),))
    after = world.submit()
    assert await after.outcome() == (200, "new")
    assert not old.gone.is_set()
    await old.answer(request)
    assert await before.outcome() == (200, "old")
    await asyncio.wait_for(old.gone.wait(), WAIT_S)
    assert old.count == 1


async def test_a_replica_retired_while_it_is_connected_to_is_let_go(world):
    replica = await world.replica("a")
    world.apply(iris=(revision(replica),))
    link = world.core.links[replica.path]
    connect = asyncio.create_task(link.connect(world.core.loop))
    for _ in range(20):  # whichever moment the table changes at
        world.core.links.pop(replica.path, None)
        link.retire()
        await asyncio.sleep(0)
    await connect
    await asyncio.wait_for(replica.gone.wait(), WAIT_S)


async def test_a_late_answer_is_a_504_and_silence_is_reported_once(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica, timeout_s=0.1),))
    await world.ready()
    askers = [world.submit() for _ in range(5)]
    assert {await asker.outcome() for asker in askers} == {(504, "deadline_exceeded")}
    assert "did not answer within 0.1 s" in askers[0].error.message
    assert await world.submit().outcome() == (504, "deadline_exceeded")
    assert world.stuck == [replica.path]
    assert world.core.inflight == 0


async def test_a_short_timeout_of_a_client_does_not_make_a_replica_silent(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica, timeout_s=20),))
    await world.ready()
    assert await world.submit(timeout=0.05).outcome() == (504, "deadline_exceeded")
    assert not world.stuck
    slow = world.submit()
    await asked(replica)
    await replica.answer(await asked(replica))
    assert await slow.outcome() == (200, "a")


async def test_a_replica_that_answers_others_is_not_silent(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica, timeout_s=0.3),))
    await world.ready()
    starved = world.submit()
    await asked(replica)
    while not starved.done.done():
        other = world.submit()
        await replica.answer(await asked(replica))
        assert await other.outcome() == (200, "a")
        await asyncio.sleep(0.01)
    assert await starved.outcome() == (504, "deadline_exceeded")
    assert not world.stuck


async def test_a_silent_replica_gets_nothing_until_it_speaks_and_then_what_was_held(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica, timeout_s=0.1),))
    await world.ready()
    late = world.submit()
    request = await asked(replica)
    assert await late.outcome() == (504, "deadline_exceeded")
    held = world.submit(timeout=5.0)
    await asyncio.sleep(0)
    assert replica.asked.empty()
    assert len(world.core.endpoints[b"iris"].held) == 1
    await replica.answer(request)  # too late for its asker, but it speaks
    await replica.answer(await asked(replica))
    assert await held.outcome() == (200, "a")
    assert await late.outcome() == (504, "deadline_exceeded")


async def test_a_held_request_has_its_deadline_too(world):
    world.apply(iris=(revision(),))
    asker = world.submit(timeout=0.05)
    assert await asker.outcome() == (504, "deadline_exceeded")
    assert "No replica was ready" in asker.error.message


async def test_when_a_replica_dies_only_what_it_had_begun_fails(world):
    dying, other = await world.replica("dying", hold=True), world.unborn("other")
    world.apply(iris=(revision(dying, other),))
    await asyncio.wait_for(_until(lambda: world.core.links[dying.path].ready), WAIT_S)
    askers = [world.submit() for _ in range(6)]
    requests = [await asked(dying) for _ in askers]
    dying.begin(requests[1].id)
    await other.start()
    await dying.die()
    outcomes = [await asker.outcome() for asker in askers]
    assert outcomes == [(503, "replica_lost")] * 2 + [(200, "other")] * 4
    assert askers[0].error.retry_after == 1.0


@pytest.mark.parametrize("first", ["the word", "the end"])
async def test_who_lost_a_replica_that_was_killed_is_told_for_what(world, first):
    dying = await world.replica("dying", hold=True)
    world.apply(iris=(revision(dying),))
    await world.ready()
    asker = world.submit()
    request = await asked(dying)
    dying.begin(request.id)
    if first == "the word":
        world.core.endings.told(dying.path, "killed: used more than memory_mb = 5")
    await dying.die()
    if first == "the end":
        await _until(lambda: not world.core.links[dying.path].ready)
        world.core.endings.told(dying.path, "killed: used more than memory_mb = 5")
    assert await asker.outcome() == (503, "replica_lost")
    assert "was killed: used more than memory_mb = 5, while it computed" in asker.error.message


async def test_a_replica_that_leaves_with_nothing_to_do_is_forgotten(world):
    replica = await world.replica("a")
    world.apply(iris=(revision(replica),))
    await world.ready()
    world.apply(iris=(revision(),))
    assert not world.core.leaving
    assert not world.core.links


async def test_who_gives_up_before_the_word_came_is_forgotten(world):
    dying = await world.replica("dying", hold=True)
    world.apply(iris=(revision(dying),))
    await world.ready()
    asker = world.submit()
    request = await asked(dying)
    dying.begin(request.id)
    await dying.die()
    await _until(lambda: not world.core.links[dying.path].ready)
    world.core.cancel(asker.pending)
    assert world.core.inflight == 0
    world.core.endings.told(dying.path, "killed: too late")
    assert not asker.done.done()


async def _until(condition):
    while not condition():
        await asyncio.sleep(0)


async def test_a_replica_that_comes_back_on_its_socket_is_found_again(world):
    first = await world.replica("a")
    world.apply(iris=(revision(first),))
    await world.ready()
    assert await world.submit().outcome() == (200, "a")
    await first.die()
    await asyncio.wait_for(_until(lambda: not world.core.links[first.path].ready), WAIT_S)
    asker = world.submit()
    await world.replica("a")
    assert await asker.outcome() == (200, "a")


async def test_a_request_that_every_replica_dies_of_is_given_up(world):
    path = None
    for _ in range(MAX_MOVES + 1):
        replica = await world.replica("a", hold=True)
        if path is None:
            path = replica.path
            world.apply(iris=(revision(replica),))
            asker = world.submit()
        await asked(replica)
        await replica.die()
    assert await asker.outcome() == (503, "replica_lost")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 64,
        frames.Reply(1, frames.RESULT, status=204),
        frames.Reply(1, frames.RESULT, status=100),
        frames.Reply(1, frames.RESULT, status=999),
        frames.Reply(1, frames.RESULT, content=99),
        frames.Reply(1, frames.RESULT, content=frames.CONTENT_END),
        frames.Reply(1, frames.RESULT, content=frames.CONTENT_PROTO, body=b"x"),
        frames.Reply(1, frames.RESULT, content=frames.CONTENT_JSON | frames.IN_SEGMENT, body=bytes(8)),
        frames.Reply(1, frames.STATUS_REPLY),
    ],
    ids=["bytes", "204", "100", "999", "content", "end", "protobuf", "segment", "kind"],
)
async def test_a_replica_that_sends_garbage_is_hung_up_on_and_its_request_moves(world, garbage):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),))
    await world.ready()
    asker = world.submit()
    await asked(replica)
    await replica.write(garbage if isinstance(garbage, bytes) else frames.pack_reply(garbage))
    await replica.answer(await asked(replica))  # on a new connection
    assert await asker.outcome() == (200, "a")


async def test_an_answer_to_nobody_is_ignored(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),))
    await world.ready()
    asker = world.submit()
    request = await asked(replica)
    await replica.write(frames.pack_reply(frames.Reply(request.id + 7, frames.RESULT, body=b"{}")))
    await replica.answer(request)
    await replica.answer(request)
    assert await asker.outcome() == (200, "a")


async def test_cancelling_forgets_the_request(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),), empty=(revision(),))
    await world.ready()
    sent, held = world.submit(), world.submit(b"empty")
    request = await asked(replica)
    for asker in (sent, held, sent, held):
        world.core.cancel(asker.pending)
    assert world.core.inflight == 0
    await replica.answer(request)
    after = world.submit()
    await replica.answer(await asked(replica))
    assert await after.outcome() == (200, "a")
    assert not sent.done.done()
    assert not held.done.done()
    assert replica.cancelled == [request.id]


async def test_cancelling_the_last_request_of_a_retired_replica_lets_it_go(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),))
    await world.ready()
    asker = world.submit()
    await asked(replica)
    world.apply(iris=(revision(number=2),))
    world.core.cancel(asker.pending)
    await asyncio.wait_for(replica.gone.wait(), WAIT_S)


async def test_the_less_loaded_replica_is_chosen(world):
    one, two = await world.replica("one", hold=True), await world.replica("two", hold=True)
    world.apply(iris=(revision(one, two),))
    await world.ready()
    askers = [world.submit() for _ in range(10)]
    requests = [(replica, await asked(replica)) for replica in (one, two) for _ in range(5)]
    for replica, request in requests:
        await replica.answer(request)
    assert {(await asker.outcome())[0] for asker in askers} == {200}


async def test_traffic_is_split_by_weight_and_a_version_can_be_asked_for(world):
    one, two = await world.replica("one"), await world.replica("two")
    world.apply(iris=(revision(one, number=1, weight=80), revision(two, number=2, weight=20)))
    await world.ready()
    outcomes = [await asker.outcome() for asker in [world.submit() for _ in range(1000)]]
    assert 700 < outcomes.count((200, "one")) < 900
    assert await world.submit(version=b"20").outcome() == (200, "two")
    refused = world.submit(version=b"30")
    assert await refused.outcome() == (404, "not_found")
    assert refused.error.help == "It serves version 10, 20."


async def test_keys_are_checked_on_every_request(world):
    replica = await world.replica("a")
    keys = {
        "invoker": make_key(), "viewer": make_key("viewer"), "other": make_key(endpoints=("churn",)),
        "own": make_key(endpoints=("iris",)), "expired": make_key(expires=1.0), "admin": make_key("admin"),
    }  # fmt: skip
    known = [key for key, _ in keys.values()]
    world.apply(*known, iris=(revision(replica),))
    await world.ready()
    bearers = {name: bearer for name, (_, bearer) in keys.items()}
    bearers |= {
        "none": b"",
        "unknown": make_key()[1],
        "basic": b"Basic abc",
        "garbage": b"Bearer \xff",
        "empty": b"Bearer ",
    }
    outcomes = {name: (await world.submit(bearer=bearer).outcome())[0] for name, bearer in bearers.items()}
    assert outcomes == {
        "invoker": 200, "own": 200, "admin": 200, "viewer": 403, "other": 403,
        "expired": 401, "none": 401, "unknown": 401, "basic": 401, "garbage": 401, "empty": 401,
    }  # fmt: skip
    world.apply(*known[1:], iris=(revision(replica),))
    assert (await world.submit(bearer=bearers["invoker"]).outcome())[0] == 401


async def test_an_unknown_endpoint_is_a_404_only_for_who_has_a_key(world):
    world.apply(iris=(revision(),))
    for name in (b"nope", b"\xff\xfe", b"a" * 64):
        assert await world.submit(name).outcome() == (404, "not_found")
        assert (await world.submit(name, bearer=b"").outcome())[0] == 401


async def test_a_request_that_names_no_endpoint_means_the_only_one(world):
    (limited, limited_bearer), (other, other_bearer) = make_key(endpoints=("iris",)), make_key(endpoints=("x",))
    keys = (KEY, limited, other)
    replica = await world.replica("a", hold=True)
    world.apply(*keys, iris=(revision(replica),))
    await world.ready()
    asker = world.submit(b"", bearer=limited_bearer)
    request = await asked(replica)
    assert (request.name, request.version) == ("iris", "10")
    await replica.answer(request)
    assert await asker.outcome() == (200, "a")
    assert (await world.submit(b"", bearer=other_bearer).outcome())[0] == 403
    assert (await world.submit(b"", bearer=b"").outcome())[0] == 401
    for endpoints in ({}, {"iris": (revision(replica),), "other": (revision(replica),)}):
        world.apply(*keys, **endpoints)
        asker = world.submit(b"")
        assert await asker.outcome() == (404, "not_found")
        assert "/endpoints/NAME/invocations" in asker.error.help


async def test_a_request_that_names_no_endpoint_moves_with_its_endpoint(world):
    first = await world.replica("a", hold=True)
    world.apply(iris=(revision(first),))
    await world.ready()
    asker = world.submit(b"")
    await asked(first)
    await first.die()
    second = await world.replica("b")
    world.apply(iris=(revision(second),))
    assert await asker.outcome() == (200, "b")


async def test_too_many_requests_are_refused_at_once(world, monkeypatch):
    monkeypatch.setattr(admission, "MAX_INFLIGHT", 3)
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),))
    await world.ready()
    askers = [world.submit() for _ in range(5)]
    assert [await asker.outcome() for asker in askers[3:]] == [(429, "overloaded")] * 2
    assert askers[4].error.retry_after
    for _ in range(3):
        await replica.answer(await asked(replica))
    assert [await asker.outcome() for asker in askers[:3]] == [(200, "a")] * 3


async def test_too_many_held_requests_are_refused_at_once(world, monkeypatch):
    monkeypatch.setattr(holding, "MAX_HELD", 2)
    world.apply(iris=(revision(),))
    askers = [world.submit() for _ in range(3)]
    assert await askers[2].outcome() == (503, "unavailable")
    for asker in askers[:2]:
        world.core.cancel(asker.pending)


async def test_a_large_body_and_a_large_answer_pass_whole(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),))
    await world.ready()
    body = bytes(range(256)) * 8192
    asker = world.submit(body=body)
    request = await asked(replica)
    assert request.body == body
    await replica.answer(request, body=b'{"by": "' + b"x" * 3_000_000 + b'"}')
    assert len((await asker.outcome())[1]) == 3_000_000


async def test_nothing_ticks_while_nothing_is_under_way(world):
    replica = await world.replica("a")
    world.apply(iris=(revision(replica),))
    await world.ready()
    await world.submit().outcome()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await _until(lambda: not world.core._ticking)
    assert not world.core._ticking


# admission


async def slowed(world, replica, count, service_s):
    """Teach the gateway how long a request takes: `count` answers, so far apart."""
    for _ in range(count):
        asker = world.submit()
        request = await asked(replica)
        await asyncio.sleep(service_s)
        await replica.answer(request)
        await asker.outcome()


async def test_a_request_that_cannot_be_answered_in_time_is_refused_at_once(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica, timeout_s=30),))
    await world.ready()
    await slowed(world, replica, 1, 0.1)
    waiting = [world.submit(timeout=1.0) for _ in range(40)]
    refused = [asker for asker in waiting if asker.done.done()]
    assert 30 <= len(refused) <= 36  # 0.1 s each, 1 s in all, and some to spare
    assert {asker.done.result() for asker in refused} == {(429, "overloaded")}
    assert all(0 < asker.error.retry_after <= 3 for asker in refused)
    assert world.submit(timeout=30.0).done.done() is False  # who has time may wait
    for _ in range(41 - len(refused)):
        await replica.answer(await asked(replica))
    assert {await asker.outcome() for asker in waiting if asker not in refused} == {(200, "a")}


async def test_an_idle_replica_is_always_tried_however_slow_it_was(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),))
    await world.ready()
    await slowed(world, replica, 1, 0.3)
    asker = world.submit(timeout=0.2)
    await replica.answer(await asked(replica))
    assert await asker.outcome() == (200, "a")


async def test_the_queue_of_a_replica_is_bounded(world, monkeypatch):
    monkeypatch.setattr(admission, "MAX_QUEUE", 5)
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),))
    await world.ready()
    askers = [world.submit() for _ in range(8)]
    assert [asker.done.done() for asker in askers] == [False] * 5 + [True] * 3
    assert await askers[-1].outcome() == (429, "overloaded")
    for _ in range(5):
        await replica.answer(await asked(replica))
    assert [(await asker.outcome())[0] for asker in askers[:5]] == [200] * 5


async def test_the_bytes_under_way_are_bounded(world, monkeypatch):
    monkeypatch.setattr(admission, "MAX_BYTES", 1000)
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),))
    await world.ready()
    first, second = world.submit(body=b"x" * 900), world.submit(body=b"x" * 200)
    assert await second.outcome() == (429, "overloaded")
    await replica.answer(await asked(replica))
    assert await first.outcome() == (200, "a")
    third = world.submit(body=b"x" * 900)
    await replica.answer(await asked(replica))
    assert await third.outcome() == (200, "a")


# parts


async def test_parts_reach_who_takes_them_and_give_time_for_the_next(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),))
    await world.ready()
    taking, whole = world.submit(flags=frames.FLAG_STREAM, timeout=0.3), world.submit()
    first, second = await asked(replica), await asked(replica)
    assert (first.flags, second.flags) == (frames.FLAG_STREAM, 0)
    for number in range(4):
        await replica.answer(first, kind=frames.PART, body=b"%d" % number)
        await replica.answer(second, kind=frames.PART, body=b"%d" % number)
        await asyncio.sleep(0.15)
    await replica.answer(first)
    await replica.answer(second)
    assert await taking.outcome() == (200, "a")
    assert await whole.outcome() == (200, "a")
    assert (taking.parts, whole.parts) == ([0, 1, 2, 3], [])


async def test_streams_under_way_do_not_make_others_look_late(world):
    replica = await world.replica("a", hold=True)
    world.apply(iris=(revision(replica),))
    await world.ready()
    await slowed(world, replica, 1, 0.1)
    streams = [world.submit(flags=frames.FLAG_STREAM, timeout=30) for _ in range(20)]
    requests = [await asked(replica) for _ in streams]
    for request in requests:
        await replica.answer(request, kind=frames.PART, body=b"0")
    async with asyncio.timeout(WAIT_S):
        while not all(stream.parts for stream in streams):
            await asyncio.sleep(0.001)
    quick = world.submit(timeout=0.5)
    await replica.answer(await asked(replica))
    assert await quick.outcome() == (200, "a")
    for request in requests:
        await replica.answer(request, content=frames.CONTENT_END, body=b'{"by": "a"}')
    assert {await stream.outcome() for stream in streams} == {(200, "a")}
