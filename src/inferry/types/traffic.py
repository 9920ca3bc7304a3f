"""How an endpoint's requests are shared out among its revisions, and what its gateway counts of them.

Split: places (who answers which keys), key (what a request's key is), pins, warm, mirror, sampling
"""

from __future__ import annotations

import msgspec

PLACES = 10_000
"""A key's hash is a place in [0, PLACES); each place belongs to one revision."""

Places = tuple[tuple[int, int], ...]
"""Runs of places in order: (revision, how many). They sum to PLACES, or there are none."""


class Mirror(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of `percent` of the requests goes to `revision`, whose answers nobody gets."""

    revision: int
    percent: int = 100


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Which answers are kept for feedback: `percent` of the requests, by a hash of their id, and at most `most_per_s`
    in a second. `inputs`: of how many percent what was asked is kept as well."""

    percent: float = 100.0
    most_per_s: int = 100
    inputs: float = 0.0


class Split(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How requests find their revision. `key`: where a request's key is, "header:NAME", "body:FIELD" or "" for
    each request on its own. `pins`: keys that always go to one revision. `warm`: revisions that run without
    a share, to be called by number or to take over at once. `sampling`: which answers are kept."""

    places: Places = ()
    key: str = ""
    pins: dict[str, int] = {}
    warm: tuple[int, ...] = ()
    mirror: Mirror | None = None
    sampling: Sampling = Sampling()


class TrafficPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wish how an endpoint's requests are shared out; what is left out stays as it is. `weights`: percents by
    revision that sum to 100. `mirror`: None ends it. `warm`: all the revisions that run without a share.
    `allow_breaking`: a revision that gets a share may break callers."""

    weights: dict[int, int] | None = None
    key: str | None = None
    pin: dict[str, int] = {}
    unpin: tuple[str, ...] = ()
    warm: tuple[int, ...] | None = None
    mirror: Mirror | msgspec.UnsetType | None = msgspec.UNSET
    sampling: Sampling | None = None
    allow_breaking: bool = False


class FieldDifference(msgspec.Struct, kw_only=True):
    """One field of the answers: how many values were compared, how many differ, the largest difference."""

    values: int = 0
    differing: int = 0
    largest: float = 0.0


class MirrorReport(msgspec.Struct, kw_only=True):
    """What came of the copies since the gateway knows this pair of revisions. `dropped`: copies not sent or not
    compared because there was too much to do; `primary_us` and `shadow_us`: time that the compared pairs took."""

    compared: int = 0
    equal: int = 0
    failed: int = 0  # the shadow failed where the primary answered
    recovered: int = 0  # and the other way round
    dropped: int = 0
    primary_us: int = 0
    shadow_us: int = 0
    fields: dict[str, FieldDifference] = {}


class RevisionCounters(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway counted of one revision since it started (`epoch`: which start, Unix nanoseconds).
    `statuses`: answers by HTTP status; `latency`: answers by bucket of `telemetry.metrics`."""

    epoch: int
    endpoint: str
    revision: int
    statuses: dict[int, int] = {}
    latency: tuple[int, ...] = ()
    total_us: int = 0
    mirror: MirrorReport | None = None
