"""Room: who gets memory, who waits for it, and who leaves."""

import asyncio

import pytest

from inferry.control.room import ALWAYS, BUSY, PATIENCE_S, Room
from inferry.errors import Conflict, NoRoom
from inferry.testing.store_contract import make_commit
from inferry.types.density import Held
from inferry.types.registry import RevisionConfig, Version
from inferry.types.replicas import ReplicaSpec

MB = 1_000_000


class Replica:
    def __init__(self, spec, megabytes, common=0):
        self.spec, self.megabytes, self.common = spec, megabytes, common
        self.stopping = False
        self.gone = asyncio.get_running_loop().create_future()

    def held(self):
        return Held(private=self.megabytes * MB, peak=self.megabytes * MB)

    def shared(self):
        return self.common * MB


class World:
    """A room of 100 MB, and a keeper that does as it is told at once, or later."""

    def __init__(self):
        self.now, self.at_work, self.always, self.told = 100.0, set(), set(), []
        self.room = Room(100 * MB, lambda: self.now)
        self.room.keeper = self
        self.there = {}
        self.prompt = True

    def stays(self, group):
        return ALWAYS if group[0] in self.always else BUSY if group[0] in self.at_work else ""

    def leave(self, group, why):
        self.told.append((group[0], why))
        if self.prompt:
            asyncio.get_running_loop().call_soon(self.end, group[0])

    def gave_up(self, group, why):
        self.told.append((group[0], "gave up"))

    def end(self, name):
        self.there.pop(name).gone.set_result("stopped")

    async def start(self, name, megabytes, timeout=30.0, common=0, bundle=""):
        commit = make_commit()
        version = Version(
            model=name, number=1, bundle=bundle or f"bundle of {name}", source="s", runtime="onnx", size=1,
            created=0.0, created_by="me", manifest=commit.manifest,
        )  # fmt: skip
        config = RevisionConfig(timeout_s=timeout)
        spec = ReplicaSpec(
            id=name, label=name, bundle=version.bundle, environment="", runtime="onnx", config=config
        )  # fmt: skip
        self.room._sizes.setdefault(version.bundle, Held(private=megabytes * MB, peak=megabytes * MB))
        await self.room.reserve(spec, version, config)
        self.there[name] = Replica(spec, megabytes, common)
        self.room.joined(self.there[name])
        self.room.release(name)

    def soon(self, name, megabytes):
        return asyncio.create_task(self.start(name, megabytes))


@pytest.fixture
async def world():
    return World()


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_who_fits_comes_in_and_else_the_least_worth_leaves_first(world):
    await world.start("a", 40)
    await world.start("b", 40)
    world.room.used(world.there["b"].spec.group, 1)
    await world.start("c", 30)
    assert world.told == [("a", "made room for c")]
    status = world.room.status()
    assert (status.counted_mb, status.loads, status.left) == (70.0, 3, 1)
    assert {row.endpoint for row in status.loaded} == {"b", "c"}


async def test_a_promise_is_kept_until_the_replica_is_there_or_its_start_is_over(world):
    commit = make_commit()
    spec = ReplicaSpec(id="x", label="x", bundle="x", environment="", runtime="onnx", config=RevisionConfig())
    version = Version(
        model="x", number=1, bundle="x", source="s", runtime="onnx", size=1, created=0.0, created_by="me",
        manifest=commit.manifest,
    )  # fmt: skip
    world.room._sizes["x"] = Held(private=30 * MB, peak=80 * MB)
    await world.room.reserve(spec, version, RevisionConfig())
    assert world.room.status().promised_mb == 80.0, "what it takes while it loads"
    second = world.soon("y", 30)
    await turns()
    assert not second.done()
    world.room.joined(Replica(spec, 30))
    world.room.release("x")
    await second
    assert world.room.status().counted_mb == 60.0


async def test_nobody_starts_before_those_that_make_room_are_gone(world):
    world.prompt = False
    await world.start("a", 90)
    starting = world.soon("b", 50)
    await turns()
    assert world.told == [("a", "made room for b")]
    assert not starting.done()
    world.end("a")
    await starting


async def test_models_at_work_stay_and_who_waits_is_told_so_in_the_end(world, monkeypatch):
    await world.start("a", 90)
    world.at_work.add("a")
    monkeypatch.setattr("inferry.control.room.LEAST_WAIT_S", 0.05)
    with pytest.raises(NoRoom, match="1 of the loaded models are at work"):
        await world.start("b", 50, timeout=0.0)
    assert world.told == [("b", "gave up")]
    assert world.room.status().promised_mb == 0.0
    assert world.room.status().waiting == ()


async def test_what_never_fits_is_refused_at_once(world):
    with pytest.raises(Conflict, match="needs about 120 MB of memory, and all models together may take 100 MB"):
        await world.start("large", 120)
    await world.start("fixed", 60)
    world.always.add("fixed")
    with pytest.raises(Conflict, match="60 MB are held by endpoints that always run: fixed"):
        await world.start("other", 50)
    assert world.told == []


async def test_small_ones_pass_a_large_one_that_waits_but_not_for_ever(world):
    await world.start("a", 60)
    world.at_work.add("a")
    large = world.soon("large", 80)
    await turns()
    await world.start("small", 20)
    world.at_work.add("small")
    world.now += PATIENCE_S + 1
    late = world.soon("late", 10)
    await turns()
    assert not late.done(), "what comes free is kept for who waits so long"
    world.at_work.clear()
    world.room.look()
    await large
    await late
    assert "a" in {name for name, _ in world.told}


async def test_models_that_grew_make_room_too(world):
    await world.start("a", 40)
    await world.start("b", 40)
    world.there["b"].megabytes = 70
    world.room.measured({"b": world.there["b"].held()})
    world.room.look()
    await turns()
    assert world.told == [("b", "the models here hold more memory than the budget")]
    assert world.room.status().counted_mb == 40.0


async def test_pages_that_replicas_of_one_bundle_share_count_once(world):
    await world.start("a", 50, bundle="same", common=45)
    world.room._sizes.clear()
    await world.start("b", 5, bundle="same", common=45)
    world.there["a"].megabytes = 5
    world.room.measured({name: replica.held() for name, replica in world.there.items()})
    status = world.room.status()
    assert (status.shared_mb, status.counted_mb) == (45.0, 55.0)


async def test_one_that_is_wanted_again_stays(world):
    world.prompt = False
    await world.start("a", 90)
    starting = world.soon("b", 50)
    await turns()
    assert world.room.is_leaving("a")
    world.at_work.add("a")
    world.now += 10
    world.room.look()
    assert not world.room.is_leaving("a")
    assert not starting.done()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert world.room.status().waiting == ()
