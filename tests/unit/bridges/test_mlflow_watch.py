"""What a look does: each version once, whenever the watch before it was ended."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from inferry.bridges import mlflow_watch
from inferry.bridges.mlflow_rest import Registered, Training
from inferry.bridges.mlflow_watch import Wanted, Watch, pause_after
from inferry.client.pipeline_answers import RunInfo
from inferry.client.version_answers import VersionInfo
from inferry.errors import Conflict, InvalidModel, NotFound, Unavailable
from inferry.types.lineage import Lineage


class Killed(BaseException):
    """The process dies here."""


class FakeRegistry:
    url = "http://m"

    def __init__(self) -> None:
        self.found: Registered | None = None

    def aliased(self, model, alias):
        if self.found is None:
            raise NotFound(f"alias {alias} not found")
        return self.found

    def training(self, run):
        return Training()

    def folder(self, model, version):
        return f"m/{version}"


@dataclass
class FakePlatform:
    """Versions by number, runs, aliases. `dies`: the call before which the process dies. `same`: equal bytes."""

    kept: list[VersionInfo] = field(default_factory=list)
    begun: list[RunInfo] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)
    pushes: int = 0
    pipeline: bool = True
    dies: str = ""
    refuses: Exception | None = None
    same: bool = False

    def die(self, call):
        if self.dies == call:
            self.dies = ""
            raise Killed

    def versions(self, model):
        if not self.kept:
            raise NotFound("no model")
        return [self.version(model, one.number) for one in self.kept]

    def version(self, model, number):
        aliases = tuple(name for name, to in self.named.items() if to == number)
        lineage = self.kept[number - 1].lineage
        return VersionInfo(
            model=model, number=number, bundle="b", runtime="r", size=1, aliases=aliases, lineage=lineage
        )

    def push(self, path, name, sample, *, convert, lineage):
        self.die("push")
        self.pushes += 1
        if self.refuses:
            raise self.refuses
        if not (self.same and self.kept):
            number = len(self.kept) + 1
            self.kept.append(
                VersionInfo(model=name, number=number, bundle="b", runtime="r", size=1, lineage=lineage or Lineage())
            )
        self.die("pushed")
        return self.kept[-1] and type("Pushed", (), {"version": len(self.kept)})

    def runs(self, model):
        return list(self.begun)

    def start_run(self, model, version):
        self.die("start")
        if not self.pipeline:
            raise NotFound("no pipeline")
        if any(run.version == version and not run.ended for run in self.begun):
            raise Conflict("on its way")
        made = RunInfo(
            id=f"r{len(self.begun)}", model=model, version=version, phase="queue", stage=1, stages=1, endpoint="e"
        )
        self.begun.append(made)
        self.die("started")
        return made

    def move_alias(self, model, alias, number):
        self.die("alias")
        self.named[alias] = number


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(mlflow_watch, "fetch_files", lambda registry, folder, into: 1)
    return FakeRegistry(), FakePlatform()


def watch(world, gate=lambda version: None):
    return Watch(world[0], world[1], Wanted(model="Fraud", alias="Champion"), gate)


def version(number: int, status: str = "READY") -> Registered:
    return Registered(name="Fraud", version=str(number), status=status, run_id="r")


def test_an_alias_that_moves_back_and_forth_starts_a_run_each_time_and_pushes_once(world) -> None:
    registry, platform = world
    looks = watch(world)
    states = [looks.look().state]
    for number in (1, 1, 2, 2, 1, 1, 2):
        registry.found = version(number)
        states.append(looks.look().state)
        platform.begun[:] = [type(run)(**{**_fields(run), "ended": True}) for run in platform.begun]
    assert states == ["waiting", "moved", "current", "moved", "current", "moved", "current", "moved"]
    assert [run.version for run in platform.begun] == [1, 2, 1, 2]
    assert platform.pushes == 2
    assert platform.named == {"mlflow-champion": 2}


def _fields(run):
    return {name: getattr(run, name) for name in run.__struct_fields__}


@pytest.mark.parametrize("moment", ["push", "pushed", "start", "started", "alias"])
def test_a_watch_that_dies_is_taken_up_by_the_next(world, moment) -> None:
    registry, platform = world
    registry.found = version(1)
    platform.dies = moment
    with pytest.raises(Killed):
        watch(world).look()
    again = watch(world)
    assert [again.look().state, again.look().state] == ["moved", "current"]
    assert (len(platform.kept), [run.version for run in platform.begun]) == (1, [1])


def test_a_version_of_equal_bytes_is_not_fetched_at_every_look(world) -> None:
    registry, platform = world
    registry.found = version(1)
    looks = watch(world)
    looks.look()
    platform.same, registry.found = True, version(2)
    assert [looks.look().state for _ in range(3)] == ["moved", "current", "current"]
    assert (platform.pushes, len(platform.kept)) == (2, 1)


def test_what_cannot_be_served_is_tried_once_until_the_alias_moves(world) -> None:
    registry, platform = world
    registry.found, platform.refuses = version(1), InvalidModel("no model")
    looks = watch(world)
    assert [looks.look().state for _ in range(3)] == ["refused"] * 3
    assert platform.pushes == 1
    platform.refuses, registry.found = Unavailable("away"), version(2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            looks.look()
    platform.refuses = None
    assert looks.look().state == "moved"


def test_gates_are_run_before_the_pipeline_and_a_failure_is_told(world) -> None:
    world[0].found = version(1)
    asked = []

    def gate(its):
        asked.append((its.number, len(world[1].begun)))
        return False

    assert watch(world, gate).look().state == "failed"
    assert asked == [(1, 0)]


def test_without_a_pipeline_the_version_is_there_and_says_so(world) -> None:
    world[0].found, world[1].pipeline = version(1), False
    looks = watch(world)
    assert looks.look().words == "Fraud/1 is fraud:1. No pipeline takes it on."
    assert looks.look().state == "current"


def test_a_version_that_is_not_ready_is_waited_for(world) -> None:
    world[0].found = version(1, "PENDING_REGISTRATION")
    assert watch(world).look().words == "Fraud/1 is PENDING_REGISTRATION."


def test_looks_that_fail_come_less_often() -> None:
    assert [pause_after(failures, 30) for failures in (0, 1, 2, 99)] == [30, 60, 120, 600]
    assert pause_after(99, 3600) == 3600
