"""Holding: who waits for a first replica, what wakes it, what is told, and what bounds it."""

import asyncio

import pytest
from msgspec.structs import replace

from inferry.gateway import holding
from inferry.gateway.loads import Reporter, load_of
from inferry.gateway.lookup import is_ready
from inferry.types.traffic import Mirror
from tests.support.core_world import World
from tests.support.fake_replica import revision


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path)
    made.told = []
    made.reporter = Reporter(made.core, lambda loads: made.told.append(loads) or True, epoch=7)
    yield made
    await made.close()
    assert made.core.inflight == 0
    assert made.core.holding.bytes == 0


def sleepy(*replicas, cold_start_s=0.0, **fields):
    return replace(revision(*replicas, **fields), elastic=True, sleeps=True, cold_start_s=cold_start_s)


def live(world, number=1):
    endpoint = world.core.endpoints[b"iris"]
    return endpoint, endpoint.by_number[number]


async def test_however_many_wait_control_is_told_once_and_all_are_told_for_how_long(world):
    world.apply(iris=(sleepy(),))
    assert is_ready(live(world)[1])
    askers = [world.submit() for _ in range(50)]
    (loads,) = world.told
    (load,) = loads.of
    assert (loads.epoch, load.endpoint, load.revision, load.waiting) == (7, "iris", 1, 1)
    world.apply(iris=(sleepy(),))  # a table for another reason wakes nobody again
    assert len(world.told) == 1
    await asyncio.sleep(0.3)
    replica = await world.replica("a")
    world.apply(iris=(sleepy(replica),))
    assert {await asker.outcome() for asker in askers} == {(200, "a")}
    assert all(asker.waited_ms > 0 for asker in askers)
    assert all(b"x-inferry-cold-start: %d\r\n" % asker.waited_ms in asker.headers for asker in askers)
    late = world.submit()
    assert await late.outcome() == (200, "a")
    assert late.waited_ms == 0
    assert not world.core.holding.waking
    load = load_of(world.core, *live(world))
    assert (load.arrived, load.waiting, load.in_flight) == (51, 0, 0)
    assert load.busy_us < 1000 * sum(asker.waited_ms for asker in askers), "the time of waiting is no load of a replica"


async def test_it_is_woken_again_when_it_went_back_to_sleep(world):
    replica = await world.replica("a")
    for turn in (1, 2, 3):
        world.apply(iris=(sleepy(),))
        asker = world.submit()
        assert len(world.told) == turn
        world.apply(iris=(sleepy(replica),))
        assert await asker.outcome() == (200, "a")


async def test_who_gave_up_leaves_nothing_that_keeps_it_asleep(world):
    world.apply(iris=(sleepy(),))
    asker = world.submit()
    world.core.cancel(asker.pending)
    assert not world.core.holding.waking
    asker = world.submit()
    assert len(world.told) == 2
    world.core.cancel(asker.pending)


async def test_a_request_whose_time_is_over_is_told_that_nothing_had_started(world):
    world.apply(iris=(sleepy(),))
    asker = world.submit(timeout=0.05)
    assert await asker.outcome() == (503, "unavailable")
    assert asker.error.retry_after == 1.0
    assert "had started within 0.05 s" in asker.error.message


async def test_too_many_are_told_when_to_come_back(world, monkeypatch):
    monkeypatch.setattr(holding, "MAX_HELD", 2)
    world.apply(iris=(sleepy(cold_start_s=4.0),))
    askers = [world.submit() for _ in range(3)]
    assert await askers[2].outcome() == (503, "unavailable")
    assert 3.0 < askers[2].error.retry_after <= 4.0
    for asker in askers[:2]:
        world.core.cancel(asker.pending)
    monkeypatch.setattr(holding, "MAX_BYTES", 10)
    asker = world.submit(body=b"x" * 11)
    assert await asker.outcome() == (503, "unavailable")


async def test_a_deadline_before_the_replica_can_be_there_is_refused_at_once_and_wakes_it(world):
    world.apply(iris=(sleepy(cold_start_s=4.0),))
    asker = world.submit(timeout=1.0)
    assert asker.done.done()
    assert await asker.outcome() == (503, "unavailable")
    assert asker.error.retry_after == 4.0
    assert len(world.told) == 1


async def test_a_request_held_for_its_share_stays_with_its_revision(world):
    one = await world.replica("one")
    world.apply(iris=(sleepy(weight=50), sleepy(number=2, weight=50)), splits={"iris": {"key": "header:x"}})
    askers = [world.submit() for _ in range(40)]
    wanted = [asker.pending.revision.plan.number for asker in askers]
    assert {1, 2} == set(wanted)
    assert len(world.told) == 2, "each is woken once"
    world.apply(iris=(sleepy(one, weight=50), sleepy(number=2, weight=50)), splits={"iris": {"key": "header:x"}})
    await world.ready()
    async with asyncio.timeout(60):
        await asyncio.gather(*(asker.outcome() for asker in askers if asker.pending.revision.plan.number == 1))
    assert [asker.done.done() for asker in askers] == [number == 1 for number in wanted]
    two = await world.replica("two")
    world.apply(iris=(sleepy(one, weight=50), sleepy(two, number=2, weight=50)), splits={"iris": {"key": "header:x"}})
    outcomes = [await asker.outcome() for asker in askers]
    assert outcomes == [(200, "one" if number == 1 else "two") for number in wanted]


async def test_a_shadow_that_sleeps_is_woken_by_copies(world):
    replica = await world.replica("a")
    rows = (revision(replica), sleepy(number=2, weight=0))
    world.apply(iris=rows, splits={"iris": {"mirror": Mirror(revision=2)}})
    await world.ready()
    assert await world.submit().outcome() == (200, "a")
    (loads,) = world.told
    assert (loads.of[0].revision, loads.of[0].waiting, loads.of[0].missed) == (2, 0, 1)


async def test_only_what_changed_is_reported_and_all_to_a_new_control(world):
    replica = await world.replica("a")
    world.apply(iris=(sleepy(replica),), roses=(revision(replica, number=3),))
    await world.ready()
    world.reporter.report()
    assert [load.endpoint for load in world.told[-1].of] == ["iris"], "of fixed numbers nothing is told"
    world.reporter.report()
    assert world.told[-1].of == ()
    assert await world.submit().outcome() == (200, "a")
    world.reporter.report()
    assert [load.arrived for load in world.told[-1].of] == [1]
    world.reporter.report(anew=True)
    assert [load.arrived for load in world.told[-1].of] == [1]


async def test_what_sleeps_is_not_looked_at_until_somebody_asks(world, monkeypatch):
    world.apply(iris=(sleepy(),))
    asker = world.submit()
    world.reporter.report()
    world.core.cancel(asker.pending)
    world.reporter.report()
    assert world.told[-1].of[0].waiting == 0, "that nobody waits any more is told"
    looked = []
    monkeypatch.setattr("inferry.gateway.loads.load_of", lambda *asked: looked.append(asked) or load_of(*asked))
    world.reporter.report()
    assert looked == []
    asker = world.submit()
    world.reporter.report()
    assert world.told[-1].of[0].waiting == 1
    world.core.cancel(asker.pending)
