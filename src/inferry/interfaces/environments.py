"""EnvironmentStore: locked package sets and the interpreters built from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from inferry.types.bundle import Lock

Say = Callable[[str], None]


class EnvironmentStore(Protocol):
    """Builds each environment once. All calls block; `say` takes progress lines."""

    def lock(self, requirements: Sequence[str], say: Say) -> Lock:
        """Resolve requirements; the same requirements always give the same lock. EnvironmentFailed says why not."""
        ...

    def ensure(self, lock: Lock, say: Say) -> Path:
        """The interpreter of the environment, built if it is not there."""
        ...

    def beside(self, lock: Lock, requirements: Sequence[str], say: Say) -> Lock:
        """What these requirements need beyond a lock: resolved with all of its versions, and without them."""
        ...

    def packages(self, digest: str) -> Path:
        """The folder of a built environment's packages, to lay beside those of another."""
        ...

    def restore(self, digest: str, text: str, say: Say) -> Path:
        """As `ensure`, from a bundle's lock text."""
        ...

    def remove_unused(self, keep: set[str]) -> list[str]:
        """Remove every environment that is not to be kept and that no process holds; says which."""
        ...

    def python(self, digest: str) -> Path:
        """The interpreter of a built environment."""
        ...
