"""InputStore: requests that were kept, to be sent again. Each call is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inferry.types.replay import InputsKept, KeptInput


class InputStore(Protocol):
    """Has one writer."""

    def add_inputs(self, inputs: Sequence[KeptInput]) -> None:
        """Keep requests; of an id that is known at its endpoint the first stays."""
        ...

    def inputs(self, endpoint: str, since: float, most: int) -> list[KeptInput]:
        """The latest `most` that came since then, oldest first."""
        ...

    def inputs_kept(self, endpoint: str) -> InputsKept:
        """How many there are."""
        ...

    def forget_inputs(self, before: float, most: int, most_bytes: int, endpoint: str = "") -> int:
        """Remove what is older, and the oldest of an endpoint that has more (of one endpoint, or of all). How many
        went."""
        ...
