"""A project: what an `inferry.yaml` declares, and what differs from it.

Data flow: inferry.yaml -> Project -> `policy.project.problems` -> kept by control -> `policy.project.plan` with what
is there -> Changes, carried out until there are none.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from inferry.types.conversion import Mode
from inferry.types.rollout import Strategy
from inferry.types.units import Megabytes, Percent, Seconds

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Kind = Literal["create", "configure", "release", "traffic", "delete", "pipeline"]


class DeclaredModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where `inferry push NAME` finds a model: `path` and `sample` are relative to the file that declares it."""

    path: str
    sample: str = ""
    convert: Mode = "auto"
    labels: dict[str, str] = {}


class DeclaredEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an endpoint runs. `model` (none: the endpoint's name) in `version` (a number, an alias or `latest`), or in
    several by `traffic`: percents by version that sum to 100. Neither where a pipeline brings the versions.
    Its replicas are a fixed number, or vary between `min_replicas` and `max_replicas`, by
    `schedule` between others at certain times.
    `extends`: an endpoint whose settings hold where this one has none. `strategy`: how a version takes over;
    `allow_breaking`: even when its signature breaks callers."""

    extends: str = ""
    model: str = ""
    version: str | None = None
    traffic: dict[str, Percent] = {}
    strategy: str = ""
    keep_warm: bool | None = None
    allow_breaking: bool | None = None
    replicas: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    min_replicas: Annotated[int, msgspec.Meta(ge=0, le=256)] | None = None
    max_replicas: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    target_concurrency: Annotated[float, msgspec.Meta(ge=0.1, le=10_000)] | None = None
    target_latency: Seconds | None = None
    idle_timeout: Seconds | Literal["auto"] | None = None
    wait_price: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    down_delay: Seconds | None = None
    buffer_replicas: Annotated[int, msgspec.Meta(ge=0, le=256)] | None = None
    schedule: tuple[str, ...] | None = None
    timeout: Seconds | None = None
    memory: Megabytes | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    device: Literal["auto", "cpu", "cuda", "tpu"] | None = None
    gpus: Annotated[float, msgspec.Meta(ge=0, le=64)] | None = None
    gpu_memory: Megabytes | None = None
    cpus: Annotated[float, msgspec.Meta(ge=0, le=10_000)] | None = None
    resources: dict[str, Annotated[float, msgspec.Meta(gt=0)]] | None = None


class Shadow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For `time` (seconds) a copy of `percent` of the requests goes to the new version; it goes on when at least
    `compared` answers were compared and at most `differing` of them differ."""

    time: Seconds
    percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100
    compared: int = 20
    differing: Percent = 1.0


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the endpoint was asked in the `last` (seconds) is asked again, the latest `most`, `rate` times as fast as it
    came (0: without pauses); the version goes on when at least `compared` answers were compared with those of the
    revision that serves, and at most `differing` of them differ."""

    last: Seconds = 3600.0
    most: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    rate: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.0
    compared: int = 20
    differing: Percent = 1.0


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rung of the ladder: the endpoint that the version comes to. In this order: `approve` waits for a person,
    `replay` compares answers to what was asked before, `shadow` those to what is asked now, `strategy` ("" all at once;
    `default`) gives it the traffic, `smoke` asks so many requests that must be answered."""

    endpoint: str
    approve: bool = False
    replay: Replay | None = None
    shadow: Shadow | None = None
    strategy: str = ""
    smoke: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 10


class Freeze(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A time when no stage begins: every week from `start` to `end` (`fri 16:00`), or once (`2026-12-20 00:00`).
    `zone`: an IANA time zone. `only`: the endpoints that it is for (none: all)."""

    start: str
    end: str
    zone: str = "UTC"
    only: tuple[str, ...] = ()


class Pipeline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How new versions of a model go to production. `gates`: a version begins only when its gates have passed.
    `alias`: the alias that is moved to a version at the end of the ladder. `allow_breaking`: versions whose signature
    breaks callers may take the place of others."""

    stages: tuple[Stage, ...]
    gates: bool = True
    alias: str = ""
    allow_breaking: bool = False
    freeze: tuple[Freeze, ...] = ()


class Project(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a file. `pipelines` are by model. `gates` is read by those who run them."""

    models: dict[str, DeclaredModel] = {}
    endpoints: dict[str, DeclaredEndpoint] = {}
    strategies: dict[str, Strategy] = {}
    pipelines: dict[str, Pipeline] = {}
    gates: Any = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that differs, of an endpoint or a pipeline. `lines`: what it is now and will be, in words."""

    kind: Kind
    name: str
    lines: tuple[str, ...] = ()


class AppliedProject(msgspec.Struct, frozen=True, kw_only=True):
    """A project as control has it. `turn` counts what was applied; `settled`: whether it is carried out, as far as
    it could be, and `problems` what could not. `since`: when the pipeline of each model was first declared.
    `managed`: every endpoint that this project or one before it declared."""

    turn: int
    at: float
    by: str
    project: Project
    since: dict[str, float] = {}
    managed: tuple[str, ...] = ()
    prune: bool = False
    settled: bool = False
    problems: tuple[str, ...] = ()
