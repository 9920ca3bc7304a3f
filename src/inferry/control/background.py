"""Background: work that goes on all the time and that hardly anybody waits for.

Data flow: a call -> one thread of this process, with a tenth of the weight of others in the kernel's scheduler. Where
gateways and replicas want all processors, requests go first, and this takes what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

NICE = 10

P = ParamSpec("P")
T = TypeVar("T")


def _give_way() -> None:
    """Linux has a priority of each thread. A host that forbids to lower it keeps the work all the same."""
    mine = threading.get_native_id()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, mine, os.getpriority(os.PRIO_PROCESS, mine) + NICE)


_thread = ThreadPoolExecutor(1, thread_name_prefix="background", initializer=_give_way)


async def in_background(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a call returns or raises, made after those that were given before."""
    return await asyncio.get_running_loop().run_in_executor(_thread, partial(call, *args, **kwargs))
