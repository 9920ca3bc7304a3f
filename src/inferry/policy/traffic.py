"""Traffic: what an endpoint becomes when its requests are shared out another way. Pure.

Data flow: an endpoint and a wish -> the endpoint with new weights, places, pins, warm revisions and mirror.
Whatever is done, the weights sum to 100, the places agree with them, and nobody changes places who need not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from inferry.errors import Conflict, InvalidInput
from inferry.policy import route
from inferry.types.registry import Endpoint
from inferry.types.traffic import Mirror, Sampling, Split, TrafficPlan

MAX_PINS = 1000
MAX_KEPT_PER_S = 1000
KEY = re.compile(r"|header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}|body:[^\s.]{1,100}(?:\.[^\s.]{1,100}){0,9}")


def point(endpoint: Endpoint, weights: Mapping[int, int]) -> Endpoint:
    """The endpoint with these percents by revision. Raises InvalidInput unless they sum to 100."""
    if sum(weights.values()) != 100 or any(not 0 <= percent <= 100 for percent in weights.values()):
        raise InvalidInput(
            f"The traffic percents sum to {sum(weights.values())}, not 100.", help="Give each revision 0 to 100."
        )
    traffic = {number: percent for number, percent in weights.items() if percent}
    split = endpoint.split
    places = split.places or (route.assign((), endpoint.traffic) if endpoint.traffic else ())
    mirror = split.mirror
    if mirror is not None and traffic.get(mirror.revision) == 100:
        mirror = None
    split = msgspec.structs.replace(
        split,
        places=route.assign(places, traffic),
        warm=tuple(number for number in split.warm if number not in traffic),
        mirror=mirror,
    )
    return msgspec.structs.replace(endpoint, traffic=traffic, split=split)


def introduce(endpoint: Endpoint, revision: int, percent: int = 100, *, keep_warm: bool = False) -> Endpoint:
    """A new revision takes `percent`, the others share the rest as before. Without a share it runs all the same.

    `keep_warm`: the revision that had the largest share goes on running when it loses all of it.
    """
    if not endpoint.traffic:
        if percent < 100:
            raise Conflict(
                f"Nothing serves {endpoint.name!r} yet, so its first revision takes all traffic.",
                help="Leave the share out for the first deploy.",
            )
        return point(endpoint, {revision: 100})
    before = endpoint.revision
    made = point(endpoint, route.shift(endpoint.traffic, revision, percent))
    if percent == 0:
        return _with_warm(made, (*made.split.warm, revision))
    if keep_warm and before not in made.traffic:
        return _with_warm(made, (before,))
    return made


def supersede(endpoint: Endpoint, old: int, new: int) -> Endpoint:
    """A new revision in the place of another: its share, its keys and all else that it was."""

    def moved(number: int) -> int:
        return new if number == old else number

    split = endpoint.split
    places = split.places or route.assign((), endpoint.traffic)
    split = msgspec.structs.replace(
        split,
        places=tuple((moved(number), size) for number, size in places),
        pins={key: moved(number) for key, number in split.pins.items()},
        warm=tuple(moved(number) for number in split.warm),
        mirror=split.mirror and Mirror(revision=moved(split.mirror.revision), percent=split.mirror.percent),
    )
    traffic = {moved(number): percent for number, percent in endpoint.traffic.items()}
    return msgspec.structs.replace(endpoint, traffic=traffic, split=split)


def return_to(endpoint: Endpoint, target: int) -> Endpoint:
    """One revision takes all traffic back: the others lose their shares and their pins."""
    made = point(endpoint, {target: 100})
    pins = {key: number for key, number in made.split.pins.items() if number not in endpoint.traffic}
    return msgspec.structs.replace(made, split=msgspec.structs.replace(made.split, pins=pins))


def try_out(endpoint: Endpoint, canary: int) -> Endpoint:
    """A canary runs without a share, until a rollout gives it one. Conflict when traffic is split already."""
    if len(endpoint.traffic) != 1:
        raise Conflict(
            f"The traffic of {endpoint.name!r} is split already.",
            help=f"Give one revision all of it first: inferry traffic {endpoint.name} REVISION=100",
        )
    if canary in endpoint.traffic:
        raise Conflict(f"Revision {canary} has all traffic already.", help="Name another revision.")
    return _with_warm(endpoint, (*endpoint.split.warm, canary))


def follow(endpoint: Endpoint, stable: int, canary: int, weight: int, *, ended: bool) -> Endpoint:
    """What a rollout decided: the canary has `weight` percent. When it has ended, whoever won has all traffic; a
    stable revision that lost stays warm, to return to at once, and a canary that lost is stopped."""
    made = point(endpoint, {stable: 100 - weight, canary: weight})
    if not ended:
        return made
    if weight:
        return _with_warm(made, (stable,))
    made = return_to(made, stable)
    split = made.split
    mirror = None if split.mirror is not None and split.mirror.revision == canary else split.mirror
    pins = {key: number for key, number in split.pins.items() if number != canary}
    split = msgspec.structs.replace(split, mirror=mirror, pins=pins)
    made = msgspec.structs.replace(made, split=split)
    return _with_warm(made, tuple(number for number in split.warm if number != canary))


def newest(endpoint: Endpoint) -> int:
    """The revision that a rollback leaves: of those with a share, the one made last."""
    return max(endpoint.traffic)


def arrange(endpoint: Endpoint, plan: TrafficPlan) -> Endpoint:
    """All that a plan says; what it leaves out stays. Raises InvalidInput."""
    made = endpoint if plan.weights is None else point(endpoint, plan.weights)
    split = made.split
    if plan.key is not None:
        if not KEY.fullmatch(plan.key):
            raise InvalidInput(
                f"{plan.key[:60]!a} does not say where a request's key is.",
                help="Use header:NAME, body:FIELD (such as body:user.id), or nothing for each request on its own.",
            )
        split = msgspec.structs.replace(split, key=plan.key)
    pins = {key: number for key, number in {**split.pins, **plan.pin}.items() if key not in plan.unpin}
    if len(pins) > MAX_PINS or any(not key or len(key) > 256 for key in pins):
        raise InvalidInput(f"At most {MAX_PINS} keys of 1 to 256 characters can be pinned.", help="Unpin some.")
    split = msgspec.structs.replace(split, pins=pins)
    if plan.mirror is not msgspec.UNSET:
        split = msgspec.structs.replace(split, mirror=plan.mirror)
    if plan.sampling is not None:
        split = msgspec.structs.replace(split, sampling=_checked(plan.sampling))
    made = msgspec.structs.replace(made, split=split)
    if split.mirror is not None:
        _check_mirror(made, split.mirror)
    return made if plan.warm is None else _with_warm(made, plan.warm)


def _checked(sampling: Sampling) -> Sampling:
    if not 0 <= sampling.inputs <= 100:
        raise InvalidInput(f"{sampling.inputs:g} % of the requests cannot be kept.", help="Use 0 to 100 percent.")
    if not 0 <= sampling.percent <= 100 or not 0 <= sampling.most_per_s <= MAX_KEPT_PER_S:
        raise InvalidInput(
            f"{sampling.percent:g} % and {sampling.most_per_s} answers a second cannot be kept.",
            help=f"Use 0 to 100 percent, and 0 to {MAX_KEPT_PER_S} a second.",
        )
    return sampling


def _check_mirror(endpoint: Endpoint, mirror: Mirror) -> None:
    if not 1 <= mirror.percent <= 100:
        raise InvalidInput(f"{mirror.percent} % of the requests cannot be copied.", help="Use 1 to 100.")
    if endpoint.traffic.get(mirror.revision) == 100:
        raise InvalidInput(
            f"Revision {mirror.revision} answers all requests itself.", help="Mirror to a revision without a share."
        )


def _with_warm(endpoint: Endpoint, warm: tuple[int, ...]) -> Endpoint:
    kept = tuple(sorted({number for number in warm if number not in endpoint.traffic}))
    split: Split = msgspec.structs.replace(endpoint.split, warm=kept)
    return msgspec.structs.replace(endpoint, split=split)
