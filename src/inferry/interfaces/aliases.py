"""AliasStore: what people say of versions. Each call is one transaction, durable when it returns."""

from __future__ import annotations

from typing import Protocol

from inferry.types.registry import Alias, AliasMove, NewVersion, Protection, Version


class AliasStore(Protocol):
    """Kept beside the versions that they name. Raises NotFound and Conflict."""

    def commit_version(self, new: NewVersion, now: float) -> tuple[Version, bool]:
        """A version that no endpoint serves, made or found by its source. The bool: it was made."""
        ...

    def aliases(self, model: str) -> list[Alias]:
        """Those of a model, by name."""
        ...

    def resolve(self, model: str, version: int | str) -> Version:
        """The version of that number, or the one that an alias names now."""
        ...

    def move_alias(
        self, model: str, name: str, version: int, now: float, by: str, expected: int | None = None
    ) -> AliasMove:
        """Point an alias at a version. Conflict unless it points at `expected` now (0: it is not there)."""
        ...

    def delete_alias(self, model: str, name: str, now: float, by: str) -> AliasMove:
        """Forget an alias; its history stays."""
        ...

    def alias_moves(self, model: str) -> list[AliasMove]:
        """All moves of a model's aliases, oldest first."""
        ...

    def protect(self, protection: Protection) -> None:
        """Let a version not be removed."""
        ...

    def unprotect(self, model: str, version: int) -> None:
        """Lift that. Conflict when it is not protected."""
        ...

    def protections(self, model: str) -> list[Protection]:
        """The protected versions of a model, by number."""
        ...
