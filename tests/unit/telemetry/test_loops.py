"""Loops that nobody awaits."""

from __future__ import annotations

import asyncio

import pytest

from inferry.telemetry import loops
from inferry.telemetry.loops import forever, pause


async def test_a_loop_that_fails_is_logged_and_begins_anew(caplog):
    begun = 0

    async def run():
        nonlocal begun
        begun += 1
        if begun < 3:
            raise ValueError("it happens")
        await asyncio.Event().wait()

    task = asyncio.create_task(forever(run, again_s=0.0))
    while begun < 3:
        await asyncio.sleep(0)
    task.cancel()
    assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError
    assert [record.getMessage().rpartition(".")[2] for record in caplog.records] == ["run failed and begins anew"] * 2
    assert "it happens" in caplog.text


@pytest.mark.parametrize(
    ("now", "seconds", "slept"),
    [(10.0, 1.0, 1.0), (10.4, 1.0, 0.6), (10.6, 1.0, 1.4), (9.999, 1.0, 1.001), (11.0, 5.0, 4.0)],
)
async def test_pauses_end_together(monkeypatch, now, seconds, slept):
    found = []

    async def sleep(left):
        found.append(left)

    monkeypatch.setattr(loops.asyncio, "sleep", sleep)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    await pause(seconds)
    assert found == [pytest.approx(slept)]
