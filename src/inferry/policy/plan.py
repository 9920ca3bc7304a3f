"""Plan: what differs between a project and what is there. Pure.

Data flow: Project, versions by their names, endpoints as they are -> `plan` -> Changes in the order in which they
are made, each with lines for people; nothing when all is as declared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from inferry.policy.configure import value_of
from inferry.policy.project import config_of, model_of, settled
from inferry.types.declared import Path, Problem
from inferry.types.names import LATEST
from inferry.types.project import AppliedProject, Change, Project
from inferry.types.registry import RevisionConfig

Resolve = Callable[[str, str], int | None]
"""(model, version as declared) -> its number; None when there is none."""


class EndpointNow(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as it is. `traffic`: percents by version; `configs`: by version, of its newest revision;
    `rolling`: the version that a rollout brings (0: none)."""

    model: str
    traffic: dict[int, int]
    configs: dict[int, RevisionConfig]
    rolling: int = 0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as declared. `traffic`: percents by version number, {} where a pipeline brings the versions or
    none is named; `changes`: fields of RevisionConfig or its Scaling."""

    name: str
    model: str
    traffic: dict[int, int]
    changes: dict[str, Any]
    strategy: str = ""
    keep_warm: bool = True
    allow_breaking: bool = False


def missing(project: Project, resolve: Resolve) -> Iterator[Problem]:
    """Versions that are declared and not there."""
    for name, endpoint in project.endpoints.items():
        model = model_of(project, name)
        named: list[tuple[Path, str]] = [(("endpoints", name, "traffic", one), one) for one in endpoint.traffic]
        if endpoint.version is not None:
            named.append((("endpoints", name, "version"), endpoint.version))
        for path, version in named:
            if resolve(model, version) is None:
                yield Problem(path, f"{reference(model, version)} is not there", f"See: inferry versions {model}")


def reference(model: str, version: str) -> str:
    """`fraud:7` or `fraud@champion`."""
    return f"{model}:{version}" if version.isdecimal() or version == LATEST else f"{model}@{version}"


def wanted(project: Project, name: str, resolve: Resolve) -> Wanted:
    """What is declared of one endpoint, with version numbers."""
    endpoint, model = settled(project, name), model_of(project, name)
    shares = {endpoint.version: 100.0} if endpoint.version is not None else endpoint.traffic
    traffic: dict[int, int] = {}
    for version, share in shares.items():
        number = resolve(model, version)
        if number is not None and share:
            traffic[number] = traffic.get(number, 0) + int(share)
    return Wanted(
        name=name, model=model, traffic=traffic, changes=config_of(project, name), strategy=endpoint.strategy,
        keep_warm=endpoint.keep_warm is not False, allow_breaking=endpoint.allow_breaking is True,
    )  # fmt: skip


def plan(
    project: Project,
    before: AppliedProject | None,
    now: Mapping[str, EndpointNow],
    resolve: Resolve,
    *,
    prune: bool = False,
) -> list[Change]:
    """All changes. `before`: what was applied last; what it knows of and this one does not declare goes with
    `prune`."""
    found = [
        change for name in project.endpoints for change in _endpoint(wanted(project, name, resolve), now.get(name))
    ]
    if prune and before is not None:
        gone = [name for name in before.managed if name not in project.endpoints and name in now]
        found += [Change(kind="delete", name=name, lines=("it is no longer declared",)) for name in gone]
    return found + list(_pipelines(project, before.project if before is not None else None))


def _endpoint(wish: Wanted, now: EndpointNow | None) -> Iterator[Change]:
    if now is None:
        if wish.traffic:
            lines = (_shares(wish.model, wish.traffic), *(f"{field}: {value}" for field, value in wish.changes.items()))
            yield Change(kind="create", name=wish.name, lines=lines)
        return
    if now.rolling and now.rolling in wish.traffic:
        return  # on its way
    differs = wish.traffic and wish.traffic != now.traffic
    versions = wish.traffic or now.traffic
    lines = tuple(
        f"{field}: {shown(value_of(config, field))} -> {shown(value)}"
        for version, config in sorted(now.configs.items())
        if version in versions
        for field, value in wish.changes.items()
        if value_of(config, field) != value
    )
    if differs and len(wish.traffic) == 1:
        how = f"by a rollout ({wish.strategy})" if wish.strategy else "at once"
        words = f"{_shares(now.model, now.traffic)} -> {_shares(wish.model, wish.traffic)}, {how}"
        yield Change(kind="release", name=wish.name, lines=(words, *lines))
    elif lines:
        yield Change(kind="configure", name=wish.name, lines=tuple(dict.fromkeys(lines)))
    if differs and len(wish.traffic) > 1:
        words = f"{_shares(now.model, now.traffic)} -> {_shares(wish.model, wish.traffic)}"
        yield Change(kind="traffic", name=wish.name, lines=(words,))


def _pipelines(project: Project, before: Project | None) -> Iterator[Change]:
    known = before.pipelines if before is not None else {}
    for model in sorted(project.pipelines.keys() | known.keys()):
        new, old = project.pipelines.get(model), known.get(model)
        named = {stage.strategy for stage in new.stages} if new is not None else set()
        steps = {name: project.strategies.get(name) for name in named}
        changed = before is not None and {name: before.strategies.get(name) for name in named} != steps
        if new == old and not changed:
            continue
        ladder = " -> ".join(stage.endpoint for stage in new.stages) if new is not None else "none"
        word = "new" if old is None else "gone" if new is None else "changed"
        yield Change(kind="pipeline", name=model, lines=(f"{word}: {ladder}",))


def _shares(model: str, traffic: Mapping[int, int]) -> str:
    if len(traffic) == 1:
        return f"{model}:{next(iter(traffic))}"
    return ", ".join(f"{model}:{version} {share}%" for version, share in sorted(traffic.items())) or "nothing"


def shown(value: Any) -> str:
    """A setting's value for people."""
    if isinstance(value, tuple):
        return "; ".join(entry.text for entry in value) or "none"
    return "varies" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
