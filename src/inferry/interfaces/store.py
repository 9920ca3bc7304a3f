"""MetadataStore: what control remembers. All calls are synchronous, durable when they return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from inferry.types.registry import Commit, Endpoint, Key, Model, Revision, RevisionConfig, Version
from inferry.types.webhooks import Event


class MetadataStore(Protocol):
    """Models, versions, endpoints, revisions and keys. Raises NotFound and Conflict."""

    def commit_deploy(self, commit: Commit, now: float) -> tuple[Version, Revision, bool]:
        """In one transaction: make (or find, by `source`) the version, make the revision that
        `replaces` the endpoint's current one, give it its share of traffic. The bool: a new version was made."""
        ...

    def commit_revision(
        self, endpoint: str, instead: int, config: RevisionConfig, now: float, created_by: str
    ) -> Revision:
        """A new revision of the version of revision `instead` with another config, in its place: its share, its
        keys and all else that it was."""
        ...

    def change_traffic(
        self, endpoint: str, change: Callable[[Endpoint], Endpoint], now: float, *told: Event
    ) -> Endpoint:
        """Read the endpoint, share its requests out as `change` says, and keep that: one transaction. NotFound
        when a revision that should run does not exist. `told`: what webhooks are told of it."""
        ...

    def find_version(self, model: str, source: str) -> Version | None:
        """The version made from these source bytes, if any."""
        ...

    def models(self) -> list[Model]:
        """All models by name."""
        ...

    def versions(self, model: str) -> list[Version]:
        """All versions of a model, oldest first. NotFound for an unknown model."""
        ...

    def version(self, model: str, number: int) -> Version:
        """One version."""
        ...

    def endpoints(self) -> list[Endpoint]:
        """All endpoints by name."""
        ...

    def endpoint(self, name: str) -> Endpoint:
        """One endpoint."""
        ...

    def revisions(self, endpoint: str) -> list[Revision]:
        """All revisions of an endpoint, oldest first."""
        ...

    def delete_endpoint(self, name: str, *told: Event) -> None:
        """Remove an endpoint and its revisions; model and versions stay."""
        ...

    def delete_version(self, model: str, number: int) -> None:
        """Remove a version. Conflict while a revision pins it; its number is never used again."""
        ...

    def delete_model(self, model: str) -> None:
        """Remove a model and its versions. Conflict while a revision pins one."""
        ...

    def bundles(self) -> set[str]:
        """Digests of all bundles that a version pins."""
        ...

    def keys(self) -> list[Key]:
        """All keys."""
        ...

    def add_key(self, key: Key) -> None:
        """Keep a key. Conflict when its name is taken."""
        ...

    def delete_key(self, id_or_name: str) -> Key:
        """Forget a key."""
        ...

    def check(self) -> list[str]:
        """Integrity: sentences about what is wrong; empty when all is well."""
        ...

    def close(self) -> None:
        """Release the database."""
        ...
