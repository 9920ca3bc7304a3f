"""What the metadata store keeps: models, versions, endpoints, revisions, keys."""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.bundle import Manifest


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable, numbered member of a model: `model:number`. `created` is Unix seconds."""

    model: str
    number: int
    bundle: str
    source: str
    runtime: str
    size: int
    created: float
    created_by: str
    manifest: Manifest

    @property
    def reference(self) -> str:
        """`fraud:7`."""
        return f"{self.model}:{self.number}"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A named family of versions."""

    name: str
    created: float
    versions: int
    latest: int


class RevisionConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a revision runs. `timeout_s`: default deadline of a request in seconds.
    `memory_mb`: address-space limit of a replica (0: chosen by the host). `threads`: processor
    threads of one prediction (0: chosen by `policy.threads`)."""

    replicas: int = 1
    timeout_s: float = 30.0
    memory_mb: int = 0
    threads: int = 0


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable running configuration of an endpoint. `replaces` is the revision that
    served before it (0: none): where a rollback goes."""

    endpoint: str
    number: int
    model: str
    version: int
    bundle: str
    config: RevisionConfig
    replaces: int
    created: float
    created_by: str


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The stable address clients call. `traffic` maps revision number -> percent, sum 100."""

    name: str
    model: str
    traffic: dict[int, int]
    created: float
    updated: float

    @property
    def revision(self) -> int:
        """The revision with the largest share of traffic."""
        return max(self.traffic, key=lambda number: (self.traffic[number], number))


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as stored: never the secret, only its keyed hash (hex). `endpoints`:
    the endpoint name or "*" per entry that it may call. `expires` 0: never."""

    id: str
    name: str
    role: str
    digest: str
    endpoints: tuple[str, ...] = ("*",)
    created: float = 0.0
    expires: float = 0.0


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """All that one deploy makes visible, in one transaction."""

    model: str
    endpoint: str
    bundle: str
    manifest: Manifest
    size: int
    config: RevisionConfig
    created_by: str


JSON = dict[str, Any]
