"""What the servers answer, as typed values: one class per document of the control and inference APIs.

Times are Unix seconds, durations milliseconds. A field that an older server does not send has a default.
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.registry import RevisionConfig
from inferry.types.signature import Signature


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """The platform: its version, and where predictions go."""

    version: str
    http: str


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model: how many versions it has and the newest one's number."""

    name: str
    versions: int
    latest: int
    created: float = 0.0


class VersionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model. `serving` are the endpoints that run it."""

    model: str
    number: int
    bundle: str
    runtime: str
    size: int
    created: float = 0.0
    created_by: str = ""
    serving: tuple[str, ...] = ()


class VersionDetails(VersionInfo, frozen=True, kw_only=True):
    """A version with the manifest of its bundle."""

    manifest: dict[str, Any]


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas answer, how many should, and the processes of those that do."""

    ready: int
    wanted: int
    pids: tuple[int, ...] = ()


class EndpointInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint: what it serves, and whether it does. `state`: ready, starting or failing;
    `problem` says why it is failing."""

    name: str
    model: str
    version: int
    revision: int
    replicas: Ready
    state: str
    problem: str | None = None
    url: str
    updated: float = 0.0


class RevisionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A revision. `replaces` is the one before it, 0 for none."""

    number: int
    version: int
    config: RevisionConfig = RevisionConfig()
    replaces: int = 0
    created: float = 0.0
    created_by: str = ""


class EndpointDetails(EndpointInfo, frozen=True, kw_only=True):
    """An endpoint with all that is known of it."""

    runtime: str = ""
    signature: Signature
    example: Any = None
    traffic: dict[int, int] = {}
    revisions: tuple[RevisionInfo, ...] = ()
    curl: str = ""
    python: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a deploy: `state` is started, progress or done."""

    seq: int
    step: str
    state: str
    message: str = ""
    ms: float | None = None


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What a deploy made. `unchanged`: the same bytes already served with this configuration."""

    endpoint: str
    model: str
    version: int
    revision: int
    url: str
    new_version: bool = True
    unchanged: bool = False
    runtime: str = ""
    bundle: str = ""
    signature: Signature
    example: Any = None
    answer: Any = None
    curl: str = ""
    python: str = ""
    notes: tuple[str, ...] = ()
    timings: dict[str, float] = {}


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint after a rollback or a change of scale."""

    endpoint: str
    version: int
    revision: int
    previous_revision: int
    url: str


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without its secret. `expires` 0: never."""

    id: str
    name: str
    role: str
    endpoints: tuple[str, ...] = ("*",)
    created: float = 0.0
    expires: float = 0.0


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key just made: the only time that `key` is shown."""

    id: str
    name: str
    role: str
    key: str

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r}, name={self.name!r}, role={self.role!r}, key='inf_...')"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding of `doctor`. `level`: ok, warn or fail."""

    name: str
    ok: bool
    level: str = "ok"
    detail: str = ""
    help: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All findings of `doctor`."""

    ok: bool
    checks: tuple[Check, ...] = ()


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as its callers see it. `example` is a body that works."""

    name: str
    model: str
    version: int
    revision: int
    signature: Signature
    example: Any = None
    runtime: str = ""
    timeout_s: float = 30.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The plain door's whole answer: one element of `predictions` a row, or whatever an open model returned."""

    model: str
    version: int | str
    predictions: Any
