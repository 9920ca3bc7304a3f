"""Flows of rollouts: begin one, look at it, and say what is wanted of it."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import msgspec

from inferry.client.answers import RolloutDetails, RolloutInfo
from inferry.client.session import SWITCH_S, Session, call, endpoint_path, get
from inferry.client.wire import Flow, read
from inferry.errors import NotFound
from inferry.types.names import check_name
from inferry.types.rollout import Strategy


class _Rollouts(msgspec.Struct):
    rollouts: list[RolloutInfo]


def begin_rollout(
    session: Session, endpoint: str, revision: int, strategy: Strategy | None = None, *, allow_breaking: bool = False
) -> Flow[RolloutInfo]:
    """Move an endpoint's traffic to a revision step by step, as long as its analysis finds nothing against it.

    `strategy`: None for the default one. Returns at once; `rollout` says how it goes.
    `allow_breaking`: the revision's signature may break callers.
    """
    body = {"revision": revision, "strategy": strategy, "allow_breaking": allow_breaking}
    return read((yield from call(session, "POST", endpoint_path(endpoint) + "/rollouts", body)), RolloutInfo)


def rollouts(session: Session, endpoint: str = "") -> Flow[list[RolloutInfo]]:
    """The latest rollouts of an endpoint, or of all, oldest first."""
    query = f"?endpoint={check_name(endpoint, 'endpoint name')}" if endpoint else ""
    return (yield from get(session, f"/v1/rollouts{query}", _Rollouts)).rollouts


def rollout(session: Session, endpoint: str, *, id: str = "", after: int = 0) -> Flow[RolloutDetails]:
    """An endpoint's rollout, the latest or the one of that id, with its decisions behind number `after`."""
    if not id:
        found = yield from rollouts(session, endpoint)
        if not found:
            raise NotFound(
                f"There was no rollout of {endpoint!r}.", help=f"inferry rollout start {endpoint} --revision N"
            )
        id = found[-1].id
    return (yield from get(session, f"/v1/rollouts/{quote(id, safe='')}?after={int(after)}", RolloutDetails))


def act_on_rollout(
    session: Session,
    endpoint: str,
    kind: Literal["pause", "resume", "skip", "promote", "abort"],
    *,
    reason: str = "",
    guarded: bool = True,
) -> Flow[RolloutInfo]:
    """Pause, resume, skip, promote or abort the rollout under way; returns when traffic follows.

    `guarded`: whether a failing check may still abort while it is paused.
    """
    body = {"reason": reason, "guarded": guarded}
    path = f"{endpoint_path(endpoint)}/rollout/{kind}"
    return read((yield from call(session, "POST", path, body, timeout=SWITCH_S)), RolloutInfo)
