"""Traffic: which revision a key finds, revisions without a share, and copies for a shadow."""

import asyncio
import json
from collections import Counter

import pytest

from inferry.gateway import mirror
from inferry.gateway.counters import counters_of
from inferry.types import frames
from inferry.types.traffic import Mirror
from tests.support.core_world import WAIT_S, World
from tests.support.fake_replica import revision


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path)
    yield made
    await made.close()
    assert made.core.inflight == 0
    assert made.core.bytes == 0
    assert made.core.mirror.copies == 0


async def pair(world, weights=(80, 20), **split):
    """An endpoint with two revisions, each with a replica of its own."""
    one, two = await world.replica("one"), await world.replica("two")
    rows = (revision(one, number=1, weight=weights[0]), revision(two, number=2, weight=weights[1]))
    world.apply(iris=rows, splits={"iris": split})
    await world.ready()
    return one, two


async def by(asker):
    return (await asker.outcome())[1]


async def test_a_key_in_a_header_finds_the_same_revision_each_time(world):
    await pair(world, (50, 50), key="header:X-User")
    first = [await by(world.submit(headers=[(b"x-user", b"u%d" % user)])) for user in range(60)]
    again = [await by(world.submit(headers=[(b"x-user", b"u%d" % user)])) for user in range(60)]
    assert first == again
    assert set(first) == {"one", "two"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("user", {"user": "%s"}),
        ("instances.0.user", {"instances": [{"user": "%s"}]}),
        ("inputs.user", {"inputs": {"user": ["%s"]}}),
    ],
)
async def test_a_key_in_the_body_finds_the_same_revision_each_time(world, path, body):
    await pair(world, (50, 50), key=f"body:{path}")
    bodies = [json.dumps(body).replace("%s", f"u{user}").encode() for user in range(60)]
    first = [await by(world.submit(body=body)) for body in bodies]
    assert first == [await by(world.submit(body=body)) for body in bodies]
    assert set(first) == {"one", "two"}


async def test_a_request_without_the_key_is_shared_out_on_its_own(world):
    await pair(world, (50, 50), key="body:user")
    for body in (b"{}", b"not json", b"[1]", b'{"user": null}', b"[" * 5000):
        found = Counter([await by(world.submit(body=body)) for _ in range(40)])
        assert set(found) == {"one", "two"}


async def test_a_retry_with_the_same_request_id_finds_the_same_revision(world):
    await pair(world, (50, 50))
    for number in range(20):
        id = b"request-%d" % number
        assert len({await by(world.submit(id=id)) for _ in range(3)}) == 1


async def test_a_pinned_key_goes_to_its_revision_whatever_the_weights(world):
    one, two, three = [await world.replica(name) for name in ("one", "two", "three")]
    rows = [revision(one, number=1, weight=100), revision(two, number=2, weight=0), revision(three, number=3, weight=0)]
    world.apply(iris=tuple(rows), splits={"iris": {"key": "header:x-user", "pins": {"ann": 2, "gone": 9}}})
    await world.ready()
    assert await by(world.submit(headers=[(b"x-user", b"ann")])) == "two"
    assert await by(world.submit(headers=[(b"x-user", b"gone")])) == "one"
    assert {await by(world.submit(headers=[(b"x-user", b"u%d" % user)])) for user in range(50)} == {"one"}


async def test_a_revision_without_a_share_answers_only_who_names_it(world):
    await pair(world, (100, 0))
    assert {await by(world.submit()) for _ in range(50)} == {"one"}
    assert await by(world.submit(revision=b"2")) == "two"
    assert await by(world.submit(version=b"20")) == "two"
    assert await by(world.submit(version=b"20", revision=b"2")) == "two"
    for wrong in ({"revision": b"7"}, {"version": b"10", "revision": b"2"}):
        refused = world.submit(**wrong)
        assert await refused.outcome() == (404, "not_found")
        assert refused.error.help == "It runs revision 1, 2."


async def test_an_error_of_a_split_endpoint_is_counted_with_the_revision_that_failed(world):
    _, two = await pair(world, (100, 0))
    two.hold = True
    assert (await world.submit(revision=b"2", timeout=0.05).outcome())[0] == 504
    statuses = {counters.revision: counters.statuses for counters in counters_of(world.core)}
    assert statuses == {1: {}, 2: {504: 1}}


async def settled(world, compared):
    async with asyncio.timeout(WAIT_S):
        while world.core.mirror.copies or sum(r.compared for r in world.core.mirror.reports.values()) < compared:
            await asyncio.sleep(0.001)
    return world.core.mirror.report("iris", 2)


async def test_copies_are_compared_field_by_field_and_nobody_gets_their_answers(world):
    one, two = await world.replica("one", hold=True), await world.replica("two", hold=True)
    rows = (revision(one, number=1, weight=100), revision(two, number=2, weight=0))
    world.apply(iris=rows, splits={"iris": {"mirror": Mirror(revision=2)}})
    await world.ready()
    answers = [({"p": [0.5, 1]}, {"p": [0.5, 1]}), ({"p": [0.5, 1]}, {"p": [0.75, 1]}), ({"p": [1]}, {"q": [1]})]
    for mine, theirs in answers:
        asker = world.submit(body=b"same")
        request = await asyncio.wait_for(one.asked.get(), WAIT_S)
        copy = await asyncio.wait_for(two.asked.get(), WAIT_S)
        assert (request.body, copy.body) == (b"same", b"same")
        assert (request.version, copy.version) == ("10", "20")
        await one.answer(request, body=json.dumps({"by": "one", "version": 10, **mine}).encode())
        assert await asker.outcome() == (200, "one")
        await two.answer(copy, body=json.dumps({"by": "one", "version": 20, **theirs}).encode())
    report = await settled(world, 3)
    assert (report.compared, report.equal, report.failed, report.dropped) == (3, 1, 0, 0)
    assert (report.fields["p[]"].values, report.fields["p[]"].differing) == (4, 1)
    assert report.fields["p[]"].largest == 0.25
    assert report.fields["q"].differing == 1
    assert report.fields["by"].differing == 0


async def test_a_shadow_that_fails_hangs_or_dies_never_touches_the_answer(world):
    one, two = await world.replica("one"), await world.replica("two", hold=True)
    rows = (revision(one, number=1, weight=100), revision(two, number=2, weight=0))
    world.apply(iris=rows, splits={"iris": {"mirror": Mirror(revision=2)}})
    await world.ready()
    assert await world.submit().outcome() == (200, "one")
    await two.answer(await two.asked.get(), status=500, body=b"{}")
    assert await world.submit(timeout=0.05).outcome() == (200, "one")
    await two.asked.get()
    async with asyncio.timeout(WAIT_S):
        while world.core.mirror.copies:
            await asyncio.sleep(0.005)
    assert await world.submit().outcome() == (200, "one")
    await two.asked.get()
    await two.die()
    async with asyncio.timeout(WAIT_S):
        while world.core.mirror.copies:
            await asyncio.sleep(0.005)
    assert world.core.mirror.report("iris", 2).failed == 3
    assert await world.submit().outcome() == (200, "one")


async def test_copies_that_would_queue_up_are_dropped_and_counted(world):
    one, two = await world.replica("one"), await world.replica("two", hold=True)
    rows = (revision(one, number=1, weight=100), revision(two, number=2, weight=0))
    world.apply(iris=rows, splits={"iris": {"mirror": Mirror(revision=2)}})
    await world.ready()
    outcomes = [await asker.outcome() for asker in [world.submit() for _ in range(100)]]
    assert outcomes == [(200, "one")] * 100
    assert world.core.mirror.copies == mirror.MAX_QUEUE
    assert world.core.mirror.report("iris", 2).dropped == 100 - mirror.MAX_QUEUE
    world.apply(iris=rows[:1])
    assert world.core.mirror.reports == {}
    for _ in range(mirror.MAX_QUEUE):
        await two.answer(await two.asked.get())
    await settled(world, 0)


async def test_a_share_of_the_requests_is_copied_and_none_whose_answer_comes_in_parts(world):
    one, two = await world.replica("one"), await world.replica("two")
    rows = (revision(one, number=1, weight=100), revision(two, number=2, weight=0))
    world.apply(iris=rows, splits={"iris": {"mirror": Mirror(revision=2, percent=30)}})
    await world.ready()
    for _ in range(400):
        await world.submit().outcome()
    await settled(world, 0)
    assert 60 < two.count < 190
    before = two.count
    for _ in range(50):
        await world.submit(flags=frames.FLAG_STREAM).outcome()
    assert two.count == before


async def test_the_client_of_a_copied_request_may_leave(world):
    one, two = await world.replica("one", hold=True), await world.replica("two", hold=True)
    rows = (revision(one, number=1, weight=100), revision(two, number=2, weight=0))
    world.apply(iris=rows, splits={"iris": {"mirror": Mirror(revision=2)}})
    await world.ready()
    asker = world.submit()
    world.core.cancel(asker.pending)
    await two.answer(await two.asked.get())
    report = await settled(world, 0)
    assert report is None
