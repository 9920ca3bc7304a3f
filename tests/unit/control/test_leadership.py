"""The permit of who leads: good while its lease is, and never again once another one leads."""

from __future__ import annotations

import asyncio

import pytest

from inferry.control import lead
from inferry.control.lead import EpochFile, Leadership
from inferry.errors import Superseded, Unavailable
from inferry.types.lead import Lease

LEASE = Lease(epoch=3, holder="a", name="A", place="p", since=0.0, until=0.0)


class Seat:
    def __init__(self) -> None:
        self.says: list[bool | Exception] = []

    def renew(self, epoch: int) -> bool:
        said = self.says.pop(0) if self.says else True
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        at = 1000.0

    monkeypatch.setattr(lead, "now", lambda: Clock.at)
    return Clock


@pytest.fixture
async def made(tmp_path, clock):
    seat = Seat()
    return Leadership(seat, LEASE, 0.2, EpochFile(tmp_path / "epoch"), clock.at)


async def test_nothing_is_done_after_a_lease_without_an_answer(made, clock) -> None:
    made.check()
    clock.at += 0.2
    with pytest.raises(Superseded, match="cannot be sure"):
        made.check()
    assert not made.lost.is_set()


async def test_a_lease_that_is_anothers_is_lost_for_good(made) -> None:
    made.seat.says = [True, False]
    await asyncio.wait_for(made.run(), 60)
    with pytest.raises(Superseded, match="Another control process"):
        made.check()


async def test_a_database_that_is_away_takes_nothing_from_who_leads(made, clock) -> None:
    made.seat.says = [Unavailable("It does not answer.")] * 3
    running = asyncio.create_task(made.run())
    while made.seat.says:
        clock.at += 0.01
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    made.check()
    running.cancel()


async def test_a_later_epoch_of_the_run_folder_is_seen_without_the_database(made, tmp_path) -> None:
    EpochFile(tmp_path / "epoch").lift(4)
    with pytest.raises(Superseded):
        made.check()
    await asyncio.wait_for(made.run(), 60)
    assert made.lost.is_set()


async def test_who_hears_of_a_later_epoch_ends_it(made) -> None:
    made.superseded(3)
    assert not made.lost.is_set()
    made.superseded(4)
    with pytest.raises(Superseded):
        made.check()


def test_the_noted_epoch_never_goes_back(tmp_path) -> None:
    noted = EpochFile(tmp_path / "epoch")
    assert noted.read() == 0
    noted.lift(5)
    noted.lift(4)
    assert noted.read() == 5
