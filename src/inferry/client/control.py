"""Flows of endpoints, keys and the platform: one function a call, each the whole logic of one method of the client.

Data flow: typed arguments -> Request -> Response -> typed answer (`answers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

import msgspec

from inferry.client.answers import (
    Diagnosis,
    EndpointDetails,
    EndpointInfo,
    EndpointScaling,
    KeyInfo,
    NewKey,
    PlatformStatus,
    RevisionScaling,
    Runtimes,
    Switched,
    Traffic,
)
from inferry.client.session import SWITCH_S, Session, call, endpoint_path, get
from inferry.client.wire import Flow, read
from inferry.types.names import check_name
from inferry.types.traffic import Mirror, Sampling, TrafficPlan


class _Endpoints(msgspec.Struct):
    endpoints: list[EndpointInfo]


class _Keys(msgspec.Struct):
    keys: list[KeyInfo]


class _Lines(msgspec.Struct):
    lines: list[str]


def endpoints(session: Session) -> Flow[list[EndpointInfo]]:
    """All endpoints, by name."""
    return (yield from get(session, "/v1/endpoints", _Endpoints)).endpoints


def describe(session: Session, endpoint: str) -> Flow[EndpointDetails]:
    """Everything about one endpoint: signature, example, traffic, revisions."""
    return (yield from get(session, endpoint_path(endpoint), EndpointDetails))


def rollback(session: Session, endpoint: str, revision: int | None = None) -> Flow[Switched]:
    """Point an endpoint at the revision before, or at the one given; returns when that serves."""
    body = {} if revision is None else {"revision": revision}
    response = yield from call(session, "POST", endpoint_path(endpoint) + "/rollback", body, timeout=SWITCH_S)
    return read(response, Switched)


def traffic(session: Session, endpoint: str) -> Flow[Traffic]:
    """How an endpoint's requests are shared out among its revisions, and what was counted of each."""
    return (yield from get(session, endpoint_path(endpoint) + "/traffic", Traffic))


def share_out(
    session: Session,
    endpoint: str,
    weights: Mapping[int, int] | None = None,
    *,
    key: str | None = None,
    pin: Mapping[str, int] | None = None,
    unpin: Iterable[str] = (),
    warm: Iterable[int] | None = None,
    mirror: Mirror | msgspec.UnsetType | None = msgspec.UNSET,
    sampling: Sampling | None = None,
    allow_breaking: bool = False,
) -> Flow[Traffic]:
    """Share an endpoint's requests out another way; returns when that holds. What is left out stays as it is.

    `weights`: percents by revision number that sum to 100. `key`: where a request's key is, "header:NAME",
    "body:FIELD" or "". `pin`, `unpin`: keys that always go to one revision. `warm`: all the revisions that run
    without a share. `mirror`: who gets copies, None for nobody. `sampling`: which answers are kept for feedback.
    `allow_breaking`: a revision that gets a share may break callers.
    """
    plan = TrafficPlan(
        weights=None if weights is None else dict(weights),
        key=key,
        pin=dict(pin or {}),
        unpin=tuple(unpin),
        warm=None if warm is None else tuple(warm),
        mirror=mirror,
        sampling=sampling,
        allow_breaking=allow_breaking,
    )
    response = yield from call(session, "POST", endpoint_path(endpoint) + "/traffic", plan, timeout=SWITCH_S)
    return read(response, Traffic)


def scale(
    session: Session,
    endpoint: str,
    replicas: int | None = None,
    *,
    min_replicas: int | None = None,
    max_replicas: int | None = None,
    target_concurrency: float | None = None,
    target_latency_s: float | None = None,
    idle_timeout_s: float | None = None,
    down_delay_s: float | None = None,
    buffer_replicas: int | None = None,
    wait_price: float | None = None,
    schedule: Sequence[str] | None = None,
) -> Flow[Switched]:
    """Run an endpoint's version with another number of replicas; returns when that holds.

    `replicas`: a fixed number. Or it varies from `min_replicas` (0: none when nobody asks) to `max_replicas`, with
    `target_concurrency` requests at one on average, or 95 % of the answers within `target_latency_s`; none runs after
    `idle_timeout_s` without a request (0: for how long is chosen from cost, with `wait_price` seconds of an idle
    replica for one in which a request waits), and what was not needed for `down_delay_s` goes. `buffer_replicas`: more
    than needed while there are requests. `schedule`: other limits at certain times, such as `0 8 * * mon-fri
    Europe/Berlin min=2 for=10h`; [] ends them. What is left out stays as it is.
    """
    wanted = {
        "replicas": replicas, "min_replicas": min_replicas, "max_replicas": max_replicas,
        "target_concurrency": target_concurrency, "target_latency_s": target_latency_s,
        "idle_timeout_s": idle_timeout_s, "down_delay_s": down_delay_s,
        "buffer_replicas": buffer_replicas, "wait_price": wait_price,
        "schedule": None if schedule is None else list(schedule),
    }  # fmt: skip
    body = {name: value for name, value in wanted.items() if value is not None}
    response = yield from call(session, "POST", endpoint_path(endpoint) + "/scale", body, timeout=SWITCH_S)
    return read(response, Switched)


def scaling(session: Session, endpoint: str) -> Flow[EndpointScaling]:
    """How many replicas an endpoint's revisions have, and why."""
    return (yield from get(session, endpoint_path(endpoint) + "/scale", EndpointScaling))


def warm(session: Session, endpoint: str) -> Flow[RevisionScaling]:
    """Start a replica of an endpoint that has none, ahead of requests; returns when it can answer."""
    response = yield from call(session, "POST", endpoint_path(endpoint) + "/warm", {}, timeout=SWITCH_S)
    return read(response, RevisionScaling)


def logs(session: Session, endpoint: str, lines: int = 200) -> Flow[list[str]]:
    """The last lines that an endpoint's replicas wrote."""
    return (yield from get(session, f"{endpoint_path(endpoint)}/logs?lines={int(lines)}", _Lines)).lines


def delete(session: Session, endpoint: str) -> Flow[None]:
    """Remove an endpoint and its revisions. Its model and versions stay."""
    yield from call(session, "DELETE", endpoint_path(endpoint), timeout=SWITCH_S)


def keys(session: Session) -> Flow[list[KeyInfo]]:
    """All keys, without their secrets."""
    return (yield from get(session, "/v1/keys", _Keys)).keys


def create_key(
    session: Session, name: str, *, role: str = "invoker", endpoints: Iterable[str] = ("*",), expires_s: float = 0
) -> Flow[NewKey]:
    """Make a key. `role`: invoker, viewer or admin; `expires_s` 0: never. Its secret is shown once, here."""
    body = {"name": check_name(name), "role": role, "endpoints": list(endpoints), "expires_s": expires_s}
    return read((yield from call(session, "POST", "/v1/keys", body)), NewKey)


def revoke_key(session: Session, id_or_name: str) -> Flow[None]:
    """Make a key worthless at once."""
    yield from call(session, "DELETE", f"/v1/keys/{quote(id_or_name, safe='')}")


def runtimes(session: Session) -> Flow[Runtimes]:
    """What the platform can serve, what is missing for the rest, and what it computes on."""
    return (yield from get(session, "/v1/runtimes", Runtimes))


def status(session: Session) -> Flow[PlatformStatus]:
    """How the platform is, and which control process leads."""
    return (yield from get(session, "/v1/status", PlatformStatus))


def doctor(session: Session) -> Flow[Diagnosis]:
    """Check the platform: storage, environments, sandbox, endpoints."""
    return (yield from get(session, "/v1/doctor", Diagnosis))
