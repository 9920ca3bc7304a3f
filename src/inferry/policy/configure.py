"""Configure: a revision's configuration from the one before and what is to change of it. Pure.

Data flow: RevisionConfig, changes by field (those of Scaling among them) -> RevisionConfig. What is said of replicas is
one of two things: a fixed number, or limits between which it varies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import fields, replace

from inferry.errors import InvalidInput
from inferry.policy import schedule
from inferry.types.registry import RevisionConfig
from inferry.types.scaling import MAX_REPLICAS, Scaling

OF_SCALING = tuple(field.name for field in fields(Scaling))
LIMITS = {
    "min_replicas": (0, MAX_REPLICAS),
    "max_replicas": (1, MAX_REPLICAS),
    "target_concurrency": (0.1, 10_000),
    "target_latency_s": (0.001, 600),
    "idle_timeout_s": (1, 7 * 86400),
    "down_delay_s": (0, 86400),
    "buffer_replicas": (0, MAX_REPLICAS),
    "wait_price": (0, 1_000_000),
}
"""What the numbers of a Scaling may be."""
UNSET = ("idle_timeout_s", "target_latency_s")
"""Of which 0 says that there is none."""


def changed(config: RevisionConfig, changes: Mapping[str, Any]) -> RevisionConfig:
    """The configuration with these changes. Raises InvalidInput when they contradict each other."""
    scaling = {name: value for name, value in changes.items() if name in OF_SCALING}
    others = {name: value for name, value in changes.items() if name not in OF_SCALING}
    if "replicas" in others:
        if scaling:
            raise InvalidInput(
                "A fixed number of replicas excludes limits between which it varies.", help="Keep one of them."
            )
        return replace(config, **others, scaling=None)
    if not scaling:
        return replace(config, **others)
    made = scaled(config, scaling)
    return replace(config, **others, replicas=max(1, made.min_replicas), scaling=made)


def scaled(config: RevisionConfig, changes: Mapping[str, Any]) -> Scaling:
    """The limits with these changes. Of a fixed number, both are that number, but who says when it is idle wants
    none to run then; a new limit moves the other one that nobody spoke of."""
    before = config.scaling or Scaling(min_replicas=config.replicas, max_replicas=config.replicas)
    wanted = dict(changes)
    if "target_concurrency" in changes and changes.get("target_latency_s"):
        raise InvalidInput("A target latency excludes a target concurrency.", help="Keep one of them.")
    if "target_concurrency" in changes:
        wanted["target_latency_s"] = 0.0
    elif changes.get("target_latency_s"):
        wanted["target_concurrency"] = Scaling().target_concurrency
    if config.scaling is None and "idle_timeout_s" in changes:
        wanted.setdefault("min_replicas", 0)
    low = wanted.get("min_replicas", before.min_replicas)
    high = wanted.get("max_replicas", before.max_replicas)
    if "max_replicas" not in wanted:
        wanted["max_replicas"] = max(1, low, high)
    elif "min_replicas" not in wanted:
        wanted["min_replicas"] = min(low, high)
    made = replace(before, **wanted)
    check(made)
    return made


def check(scaling: Scaling) -> None:
    """Raise InvalidInput for limits that cannot be."""
    for name, (low, high) in LIMITS.items():
        value = getattr(scaling, name)
        if value == 0 and name in UNSET:
            continue
        if not low <= value <= high:
            raise InvalidInput(f"{value:g} is no {name}.", help=f"Use {low:g} to {high:g}.")
    if scaling.min_replicas > scaling.max_replicas:
        raise InvalidInput(
            f"min_replicas is {scaling.min_replicas}, over max_replicas, which is {scaling.max_replicas}.",
            help="Raise max_replicas, or lower min_replicas.",
        )
    schedule.check(scaling.schedule)


def value_of(config: RevisionConfig, name: str) -> Any:
    """What a configuration says of a field, as `changed` takes it; None for a number of replicas that varies."""
    if name == "replicas":
        return config.replicas if config.scaling is None else None
    if name not in OF_SCALING:
        return getattr(config, name)
    fixed = Scaling(min_replicas=config.replicas, max_replicas=config.replicas)
    return getattr(config.scaling or fixed, name)
