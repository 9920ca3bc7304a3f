"""Project: whether what is declared makes sense. Pure.

Data flow: Project -> `problems`: each with its path, for the line in the file -> `settled`: endpoints with what they
extend filled in.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from msgspec.structs import asdict, replace

from inferry.errors import InvalidInput, InvalidName
from inferry.policy import configure, freeze, schedule
from inferry.policy.strategy import strategy_faults
from inferry.types.declared import Path, Problem
from inferry.types.names import LATEST, NUMBER, PATTERN, RULE, check_alias
from inferry.types.project import DeclaredEndpoint, Freeze, Pipeline, Project, Stage
from inferry.types.registry import RevisionConfig
from inferry.types.rollout import Strategy
from inferry.types.scaling import AUTO

DEFAULT = "default"
"""The name of the strategy that is there without being declared."""
WHOLE = 100
SCALING = ("min_replicas", "max_replicas", "target_concurrency", "target_latency", "idle_timeout", "down_delay",
           "buffer_replicas", "wait_price", "schedule")  # fmt: skip
"""Settings of a number of replicas that varies."""
TARGETS = ("target_concurrency", "target_latency")
"""Of which one is meant."""
_OWN = {"extends", "version", "traffic"}  # not inherited


def problems(project: Project) -> Iterator[Problem]:
    """All that cannot be carried out, whatever is there."""
    for section in ("models", "endpoints", "strategies", "pipelines"):
        for name in getattr(project, section):
            if not PATTERN.fullmatch(name):
                yield Problem((section, name), f"{name!r} is not a valid name", RULE)
    for name, strategy in project.strategies.items():
        yield from _strategy(("strategies", name), name, strategy)
    for name, endpoint in project.endpoints.items():
        yield from _endpoint(project, name, endpoint)
    for model, pipeline in project.pipelines.items():
        yield from _pipeline(project, model, pipeline)


def _strategy(path: Path, name: str, strategy: Strategy) -> Iterator[Problem]:
    if name == DEFAULT:
        yield Problem(path, f"{DEFAULT!r} is the strategy that is there already", "Give yours another name.")
    for where, words, help in strategy_faults(strategy):
        yield Problem((*path, *where), words, help)


def _endpoint(project: Project, name: str, endpoint: DeclaredEndpoint) -> Iterator[Problem]:
    path: Path = ("endpoints", name)
    circle = _circle(project, name)
    if circle:
        yield Problem((*path, "extends"), f"it goes in a circle: {' -> '.join(circle)}", "Leave one of them out.")
        return
    if endpoint.extends and endpoint.extends not in project.endpoints:
        yield _unknown((*path, "extends"), "endpoint", endpoint.extends, project.endpoints)
    if endpoint.model and not PATTERN.fullmatch(endpoint.model):
        yield Problem((*path, "model"), f"{endpoint.model!r} is not a valid name", RULE)
    yield from _named_strategy(project, (*path, "strategy"), endpoint.strategy)
    yield from _versions(project, name, endpoint)
    if endpoint.timeout is not None and not 0 < endpoint.timeout <= 3600:
        yield Problem((*path, "timeout"), f"{endpoint.timeout:g} s is not a usable timeout", "Use over 0 and up to 1h.")
    wrong = list(_schedule((*path, "schedule"), endpoint.schedule or ()))
    yield from wrong
    if wrong:
        return
    try:
        configure.changed(RevisionConfig(), config_of(project, name))
    except InvalidInput as error:
        field = next((field for field in SCALING if getattr(endpoint, field) is not None), "extends")
        yield Problem((*path, field), error.message.rstrip("."), error.help)


def _schedule(path: Path, entries: Sequence[str]) -> Iterator[Problem]:
    where, read = path, []
    try:
        for place, text in enumerate(entries):
            where = (*path, place)
            read.append(schedule.read(text))
        where = path
        schedule.check(read)
    except InvalidInput as error:
        yield Problem(where, error.message.rstrip("."), error.help)


def _circle(project: Project, name: str) -> list[str]:
    """The way from an endpoint along `extends` to one that was passed before; [] when it ends."""
    chain = [name]
    while (base := project.endpoints[chain[-1]].extends) in project.endpoints:
        chain.append(base)
        if base in chain[:-1]:
            return chain
    return []


def _versions(project: Project, name: str, endpoint: DeclaredEndpoint) -> Iterator[Problem]:
    path: Path = ("endpoints", name)
    if endpoint.version is not None:
        yield from _version((*path, "version"), endpoint.version)
        if endpoint.traffic:
            yield Problem((*path, "traffic"), "it excludes 'version'", "Keep one of them.")
    for version, share in endpoint.traffic.items():
        yield from _version((*path, "traffic", version), version)
        if share != int(share):
            yield Problem((*path, "traffic", version), f"{share:g} is not a whole percent", "Give whole percents.")
    total = sum(endpoint.traffic.values())
    if endpoint.traffic and total != WHOLE:
        yield Problem((*path, "traffic"), f"the shares sum to {total:g}, not to 100", "Give percents that sum to 100.")
    brought = brings(project, name)
    if brought and (endpoint.version is not None or endpoint.traffic):
        field = "version" if endpoint.version is not None else "traffic"
        yield Problem((*path, field), f"the pipeline of {brought!r} brings its versions", f"Leave {field!r} out.")


def _version(path: Path, version: str) -> Iterator[Problem]:
    if version == LATEST or NUMBER.fullmatch(version):
        return
    try:
        check_alias(version)
    except InvalidName:
        yield Problem(path, f"{version!r} is no version", "Use a number, an alias, or latest.")


def _pipeline(project: Project, model: str, pipeline: Pipeline) -> Iterator[Problem]:
    path: Path = ("pipelines", model)
    if not pipeline.stages:
        yield Problem((*path, "stages"), "there is none", "Name one endpoint at least: `- endpoint: NAME`.")
    seen: set[str] = set()
    for place, stage in enumerate(pipeline.stages):
        where: Path = (*path, "stages", place)
        if stage.endpoint in seen:
            yield Problem((*where, "endpoint"), f"{stage.endpoint!r} is a stage already", "Name each endpoint once.")
        seen.add(stage.endpoint)
        yield from _stage(project, model, stage, where)
    for place, window in enumerate(pipeline.freeze):
        yield from _freeze((*path, "freeze", place), window, seen)
    if pipeline.alias:
        try:
            check_alias(pipeline.alias)
        except InvalidName as error:
            yield Problem((*path, "alias"), error.message, error.help)


def _stage(project: Project, model: str, stage: Stage, where: Path) -> Iterator[Problem]:
    if stage.endpoint not in project.endpoints:
        yield _unknown((*where, "endpoint"), "endpoint", stage.endpoint, project.endpoints)
    elif (served := model_of(project, stage.endpoint)) != model:
        words = f"{stage.endpoint!r} serves the model {served!r}"
        yield Problem((*where, "endpoint"), words, f"Declare `model: {model}` there.")
    yield from _named_strategy(project, (*where, "strategy"), stage.strategy)
    if stage.replay is not None and stage.replay.last <= 0:
        yield Problem((*where, "replay", "last"), "it takes no time", "Give a time such as 1h.")
    if stage.replay is not None and not 1 <= stage.replay.compared <= stage.replay.most:
        yield Problem((*where, "replay", "compared"), "it cannot be reached", "Give 1 or more, and at most `most`.")
    if stage.shadow is not None and stage.shadow.time <= 0:
        yield Problem((*where, "shadow", "time"), "it takes no time", "Give a time such as 10m.")
    if stage.shadow is not None and stage.shadow.compared < 1:
        yield Problem((*where, "shadow", "compared"), "it compares nothing", "Give 1 or more.")


def _freeze(where: Path, window: Freeze, stages: Collection[str]) -> Iterator[Problem]:
    wrong = freeze.fault(window)
    if wrong:
        help = freeze.HELP if wrong[0] != "zone" else "Use a name such as UTC or Europe/Berlin."
        yield Problem((*where, wrong[0]), wrong[1], help)
    for name in window.only:
        if name not in stages:
            yield Problem((*where, "only"), f"{name!r} is no stage of this pipeline", close(name, stages))


def _named_strategy(project: Project, path: Path, name: str) -> Iterator[Problem]:
    if name and name != DEFAULT and name not in project.strategies:
        yield _unknown(path, "strategy", name, [*project.strategies, DEFAULT])


def _unknown(path: Path, what: str, name: str, known: Collection[str]) -> Problem:
    return Problem(path, f"no {what} {name!r} is declared", close(name, known))


def close(name: str, known: Collection[str]) -> str:
    """What was probably meant."""
    found = difflib.get_close_matches(name, known, 1)
    if found:
        return f"Did you mean {found[0]!r}?"
    return f"Declared: {', '.join(sorted(known))}." if known else "None is declared."


def brings(project: Project, endpoint: str) -> str:
    """The model whose pipeline brings an endpoint its versions, "" when none does."""
    found = (model for model, pipeline in project.pipelines.items() for s in pipeline.stages if s.endpoint == endpoint)
    return next(found, "")


def model_of(project: Project, endpoint: str) -> str:
    """The model that a declared endpoint serves."""
    return settled(project, endpoint).model or endpoint


def settled(project: Project, name: str) -> DeclaredEndpoint:
    """An endpoint with what it extends filled in; circles end where they began."""
    endpoint, seen = project.endpoints[name], {name}
    base = endpoint.extends
    while base in project.endpoints and base not in seen:
        seen.add(base)
        wider = project.endpoints[base]
        known = asdict(endpoint)
        own = _OWN | (set(SCALING) if endpoint.replicas else set())  # what is said of replicas is one thing
        if any(known[field] is not None for field in SCALING):
            own |= {"replicas"}
        own |= {other for one, other in (TARGETS, TARGETS[::-1]) if known[one] is not None}
        missing = {
            field: value for field, value in asdict(wider).items() if field not in own and known[field] in (None, "")
        }
        endpoint, base = replace(endpoint, **missing), wider.extends
    return endpoint


def config_of(project: Project, name: str) -> dict[str, Any]:
    """What is declared of an endpoint's RevisionConfig; nothing for one that is not declared."""
    if name not in project.endpoints:
        return {}
    wanted = settled(project, name)
    found = {
        "replicas": wanted.replicas,
        "min_replicas": wanted.min_replicas,
        "max_replicas": wanted.max_replicas,
        "target_concurrency": wanted.target_concurrency,
        "target_latency_s": wanted.target_latency,
        "idle_timeout_s": AUTO if wanted.idle_timeout == "auto" else wanted.idle_timeout,
        "wait_price": wanted.wait_price,
        "down_delay_s": wanted.down_delay,
        "buffer_replicas": wanted.buffer_replicas,
        "schedule": None if wanted.schedule is None else tuple(map(schedule.read, wanted.schedule)),
        "timeout_s": wanted.timeout,
        "memory_mb": None if wanted.memory is None else int(wanted.memory),
        "threads": wanted.threads,
        "device": wanted.device,
        "gpus": wanted.gpus,
        "gpu_memory_mb": None if wanted.gpu_memory is None else int(wanted.gpu_memory),
        "cpus": wanted.cpus,
        "resources": wanted.resources,
    }
    return {field: value for field, value in found.items() if value is not None}
