"""Change: one difference between two signatures, and what it means for those who call an endpoint."""

from __future__ import annotations

from typing import Literal

import msgspec


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """`breaking`: a request that was answered may be refused, or an answer is not what its reader knows. `words` say
    what changed and why that is so."""

    where: Literal["model", "input", "output"]
    name: str
    breaking: bool
    words: str
