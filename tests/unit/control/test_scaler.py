"""The scaler: what it does with what the gateway tells."""

import pytest

from inferry.control.fleet import Fleet
from inferry.control.reconciler import Live
from inferry.control.room import Room
from inferry.control.scaler import SILENT_S, Scaler
from inferry.testing.store_contract import make_commit
from inferry.types.devices import Devices
from inferry.types.registry import Endpoint, Revision, RevisionConfig, Version
from inferry.types.scaling import Load, Loads, Scaling, Schedule

ELASTIC = RevisionConfig(scaling=Scaling(min_replicas=0, max_replicas=4, idle_timeout_s=10.0))


class Backend:
    prepared = 0

    async def prepare(self, environment, runtime):
        self.prepared += 1


class World:
    def __init__(self):
        self.now = 100.0
        self.fleet = Fleet(Backend(), lambda: Devices(cores=2), Room(1 << 40))
        self.scaler = Scaler(self.fleet, lambda: self.now, lambda: 1e9 + self.now)

    def keep(self, *configs):
        self.lives = [live(number, config) for number, config in enumerate(configs, 1)]
        self.scaler.keep(self.lives)

    def hear(self, later=1.0, epoch=7, **fields):
        self.now += later
        self.scaler.hear(1, Loads(epoch=epoch, of=(Load(endpoint="fraud", revision=1, **fields),)))
        return self.scaler.count(self.lives[0].revision)


def live(number, config):
    commit = make_commit()
    version = Version(
        model="fraud", number=number, bundle=commit.bundle, source=commit.manifest.source, runtime="onnx", size=1,
        created=0.0, created_by="me", manifest=commit.manifest,
    )  # fmt: skip
    revision = Revision(
        endpoint="fraud", number=number, model="fraud", version=number, bundle=commit.bundle, config=config,
        replaces=0, created=0.0, created_by="me",
    )  # fmt: skip
    endpoint = Endpoint(name="fraud", model="fraud", traffic={1: 100}, created=0.0, updated=0.0)
    return Live(endpoint=endpoint, revision=revision, version=version)


@pytest.fixture
async def world():
    return World()


async def test_a_fixed_number_is_what_was_asked_for(world):
    world.keep(RevisionConfig(replicas=3))
    assert world.hear(waiting=100) == 3
    assert world.scaler.explain("fraud", 1) == (None, ())


async def test_what_a_gateway_tells_before_the_revision_is_known_is_not_lost(world):
    world.scaler.hear(1, Loads(epoch=7, of=(Load(endpoint="fraud", revision=1, waiting=1, arrived=1),)))
    world.scaler.hear(1, Loads(epoch=7, of=()))  # it does not tell again what stays as it is
    world.keep(ELASTIC)
    assert world.scaler.count(world.lives[0].revision) == 1
    assert world.scaler.explain("fraud", 1)[0].reason == "nothing runs, and 1 wait"


async def test_one_that_waits_wakes_it_at_once_and_that_is_explained(world):
    world.keep(ELASTIC)
    assert world.scaler.count(world.lives[0].revision) == 0
    world.fleet.changed.clear()
    assert world.hear(waiting=1, arrived=1) == 1
    assert world.fleet.changed.is_set()
    last, changes = world.scaler.explain("fraud", 1)
    assert (last.before, last.replicas, last.reason) == (0, 1, "nothing runs, and 1 wait")
    assert changes == (last,)
    assert world.hear(later=0.1, waiting=40, arrived=40) == 1
    for _ in range(12):
        world.hear(arrived=40)
    assert world.hear(arrived=40) == 0
    assert world.scaler.explain("fraud", 1)[1][0].reason == "nobody asked for 10 s"


async def test_a_copy_that_a_shadow_missed_wakes_it_too(world):
    world.keep(ELASTIC)
    assert world.hear(missed=1) == 1


async def test_a_table_of_other_things_changes_nothing(world):
    world.keep(ELASTIC)
    world.hear(waiting=1)
    world.keep(ELASTIC, RevisionConfig())
    assert world.scaler.count(world.lives[0].revision) == 1
    world.keep()
    world.keep(ELASTIC)
    assert world.scaler.count(world.lives[0].revision) == 0, "a revision that is new begins with what is there"


async def test_a_gateway_that_began_anew_is_no_surge(world):
    world.keep(ELASTIC)
    world.hear(waiting=1, arrived=1)
    for second in range(5):
        assert world.hear(arrived=1000 + second, busy_us=10_000) == 1
    assert world.hear(epoch=8, arrived=3) == 1


async def test_it_can_be_roused_ahead(world):
    world.keep(ELASTIC)
    world.scaler.rouse("fraud", [1, 5])
    assert world.scaler.count(world.lives[0].revision) == 1
    assert world.scaler.explain("fraud", 1)[0].reason == "it was asked to be warm"


async def test_while_the_gateway_is_silent_nothing_is_decided(world, monkeypatch):
    world.keep(ELASTIC)
    world.hear(waiting=1)
    world.hear()
    looks = 0

    async def sleep(_seconds):
        nonlocal looks
        looks += 1
        world.now += 1.0
        if looks > SILENT_S + 30:
            raise TimeoutError

    monkeypatch.setattr("inferry.control.scaler.pause", sleep)
    with pytest.raises(TimeoutError):
        await world.scaler.run()
    assert world.scaler.count(world.lives[0].revision) == 1


async def test_a_schedule_wakes_it_without_a_request_and_lets_it_sleep_again(world, monkeypatch):
    entry = Schedule(cron="0 8 * * *", min_replicas=2, for_s=3600.0)
    scaling = Scaling(min_replicas=0, max_replicas=4, idle_timeout_s=10.0, schedule=(entry,))
    world.day = 1e9 - 1e9 % 86400
    world.scaler = Scaler(world.fleet, lambda: world.now, lambda: world.day + world.now)
    world.now = 8 * 3600.0 - 5
    world.keep(RevisionConfig(scaling=scaling))
    world.hear()
    seen = {}

    async def sleep(_seconds):
        world.hear()
        seen[world.now] = world.scaler.count(world.lives[0].revision)
        if world.now > 9 * 3600 + 90:
            raise TimeoutError

    monkeypatch.setattr("inferry.control.scaler.pause", sleep)
    with pytest.raises(TimeoutError):
        await world.scaler.run()
    assert {seen[8 * 3600.0 - at] for at in (1, 2, 3)} == {0}
    assert {seen[8 * 3600.0 + at] for at in (1, 1800, 3599)} == {2}
    assert seen[9 * 3600.0 + 80] == 0
    last, changes = world.scaler.explain("fraud", 1)
    assert last.schedule == ""
    assert changes[-1].reason.startswith("at least 2 by the schedule 0 8 * * * UTC until 2001-09-0")


async def test_a_control_process_that_starts_within_a_schedule_begins_with_it(world):
    entry = Schedule(cron="* * * * *", min_replicas=3, for_s=120.0)
    world.keep(RevisionConfig(scaling=Scaling(min_replicas=0, max_replicas=4, schedule=(entry,))))
    assert world.scaler.count(world.lives[0].revision) == 3


async def test_none_sleeps_while_a_rollout_compares_it_and_then_it_may(world):
    world.keep(ELASTIC)
    world.scaler.compare({("fraud", 1)})
    assert world.hear() == 1, "it wakes without a request"
    assert world.scaler.explain("fraud", 1)[0].reason == "at least 1 while a rollout compares it"
    assert {world.hear() for _ in range(30)} == {1}
    world.scaler.compare(set())
    assert world.hear() == 0
