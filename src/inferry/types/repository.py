"""Repository: the Git branch that a platform follows.

Data flow: Repository -> looked at again and again -> what its newest commit led to, in the Repository's own record.
"""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["new", "synced", "failed"]


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """A platform has one project, so it follows one repository: `branch` of `url`, with the inferry.yaml in `path`.

    `sealed`: a token for https, for the platform alone. `prune`: as of apply. `commands`: gates that run programs of
    the repository are allowed. `asked`: when a look was asked for; `looked`: when the last began. `trouble`: why
    nothing could be seen ("": it could). `commit`: the newest that was carried out, or refused, at the time `at`;
    `words`: what is wrong with it. `models`: what was pushed last of each, by Git's name for its content; `versions`:
    what it became.
    """

    url: str
    branch: str = "main"
    path: str = "."
    interval_s: float = 30.0
    sealed: str = ""
    prune: bool = False
    commands: bool = False
    created: float
    created_by: str
    asked: float = 0.0
    looked: float = 0.0
    trouble: str = ""
    state: State = "new"
    commit: str = ""
    at: float = 0.0
    words: tuple[str, ...] = ()
    models: dict[str, str] = {}
    versions: dict[str, int] = {}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a look is to do. `folder`: where it may work. `known`: the commit that is done already, "" for none."""

    url: str
    branch: str
    path: str
    folder: str
    token: str = ""
    prune: bool = False
    commands: bool = False
    known: str = ""
    models: dict[str, str] = {}
    versions: dict[str, int] = {}


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a look. `state` "same": there was nothing new. `commit` "": it is to be tried again."""

    state: Literal["same", "synced", "failed", "unreachable"]
    commit: str = ""
    words: tuple[str, ...] = ()
    models: dict[str, str] = {}
    versions: dict[str, int] = {}
