"""Options: what a person may set of a runtime's engine, as the runtime declares it."""

from __future__ import annotations

from typing import Literal

import msgspec

Value = str | int | float


class Option(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One option. `about`: what it does, in a few words. `low`, `high`: of a number, both included.
    `choices`: the texts that it may be (none: any text)."""

    name: str
    about: str
    kind: Literal["integer", "number", "text"] = "text"
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()
