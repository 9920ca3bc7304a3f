"""RetentionStore: the rules by which old versions go, and their going. Each call is one transaction."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Protocol

from inferry.types.registry import Version
from inferry.types.retention import KeptRule, Stand


class RetentionStore(Protocol):
    """Kept beside the versions. Raises NotFound."""

    def stand(self, model: str) -> Stand:
        """All that holds versions of a model."""
        ...

    def prune(self, model: str, choose: Callable[[Stand], AbstractSet[int]]) -> list[Version]:
        """Remove the versions that are chosen, with the revisions that pin them. Conflict when one of them runs, is
        named by an alias or protected."""
        ...

    def retention(self, model: str) -> KeptRule | None:
        """A model's rule, if it has one."""
        ...

    def retentions(self) -> list[KeptRule]:
        """All rules, by model."""
        ...

    def keep_retention(self, rule: KeptRule) -> None:
        """Give a model a rule, in the place of the one that it has."""
        ...

    def delete_retention(self, model: str) -> None:
        """Forget a model's rule. NotFound when it has none."""
        ...
