"""Flows of replays: requests that were kept are sent again, and answers compared.

Data flow: a wish -> an operation's id -> its progress, long-polled -> the report.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from inferry.client.answers import Progress
from inferry.client.deploys import Accepted, follow
from inferry.client.session import Session, call, endpoint_path, get
from inferry.client.wire import Flow, read
from inferry.types.replay import InputsKept, ReplayAsk, Replayed


class _Forgotten(msgspec.Struct):
    forgotten: int


def replay(
    session: Session,
    endpoint: str,
    to: str | int,
    *,
    last_s: float = 3600.0,
    most: int = 1000,
    rate: float = 0.0,
    compare: bool = True,
    on_event: Callable[[Progress], None] | None = None,
) -> Flow[Replayed]:
    """Send again what an endpoint was asked, to a revision (its number, or `fraud:4`) that runs there.

    The latest `most` requests of the last `last_s` seconds that were kept, `rate` times as fast as they came (0: as
    fast as they are answered). `compare`: the revision that serves is asked as well, and the answers are compared.
    """
    ask = ReplayAsk(to=str(to), last=last_s, most=most, rate=rate, compare=compare)
    operation = read((yield from call(session, "POST", endpoint_path(endpoint) + "/replay", ask)), Accepted).operation
    return (yield from follow(session, operation, on_event or (lambda _: None), Replayed))


def inputs(session: Session, endpoint: str) -> Flow[InputsKept]:
    """How many requests of an endpoint are kept."""
    return (yield from get(session, endpoint_path(endpoint) + "/inputs", InputsKept))


def forget_inputs(session: Session, endpoint: str) -> Flow[int]:
    """Remove the requests that are kept of an endpoint; how many went."""
    response = yield from call(session, "DELETE", endpoint_path(endpoint) + "/inputs")
    return read(response, _Forgotten).forgotten
