"""Background: one thread that gives way, and says what its calls say."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from inferry.control import background
from inferry.control.background import NICE, in_background


def whose():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


async def test_it_gives_way_and_the_rest_of_the_process_does_not() -> None:
    before = whose()
    assert await in_background(whose) == before + NICE
    assert whose() == before
    assert await asyncio.to_thread(whose) == before


async def test_calls_are_made_in_order_and_tell_what_they_return_or_raise() -> None:
    made = []
    await asyncio.gather(*(in_background(made.append, n) for n in range(50)))
    assert made == list(range(50))
    with pytest.raises(ValueError, match="no"):
        await in_background(int, "no", base=10)


async def test_a_host_that_forbids_it_loses_no_work(monkeypatch) -> None:
    def forbidden(*_):
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbidden)
    with ThreadPoolExecutor(1, initializer=background._give_way) as thread:
        monkeypatch.setattr(background, "_thread", thread)
        assert await in_background(lambda: "done") == "done"
