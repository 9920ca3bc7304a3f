"""RepositoryStore: the Git repository that the platform follows. Each call is one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from inferry.types.repository import Repository
from inferry.types.webhooks import Event


class RepositoryStore(Protocol):
    """Durable when a call returns."""

    def repository(self) -> Repository | None:
        """The one that is followed."""
        ...

    def change_repository(
        self, change: Callable[[Repository | None], tuple[Repository | None, tuple[Event, ...]]]
    ) -> Repository | None:
        """Read it, change it, keep that (None: follow none), and tell of it."""
        ...
