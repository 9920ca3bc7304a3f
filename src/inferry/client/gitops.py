"""Flows of GitOps: follow a Git branch, see what came of its newest commit, look at once."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from inferry.client.session import Session, call, get
from inferry.client.wire import Flow, read


class RepositoryInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The branch that is followed. `state`: new, synced or failed; `commit`: the newest that was carried out or
    refused, at the time `at`, and `words` what is wrong. `looked`: when the last look began, and `trouble` why it saw
    nothing ("": it did); `asked`: when one was asked for. `versions`: what each model's files became. Times are Unix
    seconds."""

    url: str
    branch: str
    path: str
    interval_s: float
    token: bool = False
    prune: bool = False
    commands: bool = False
    created: float = 0.0
    created_by: str = ""
    asked: float = 0.0
    looked: float = 0.0
    trouble: str = ""
    state: str = "new"
    commit: str = ""
    at: float = 0.0
    words: tuple[str, ...] = ()
    versions: Mapping[str, int] = {}


def follow(
    session: Session,
    url: str,
    *,
    branch: str = "main",
    path: str = ".",
    interval_s: float = 30.0,
    token: str = "",
    prune: bool = False,
    commands: bool = False,
) -> Flow[RepositoryInfo]:
    """Carry out every new commit of a branch from now on, in place of any that was followed before.

    `path`: the folder with its inferry.yaml. `token`: for https. `prune`: endpoints that it no longer declares are
    deleted. `commands`: gates may run programs of the repository on the platform's machine.
    """
    body = {
        "url": url, "branch": branch, "path": path, "interval_s": interval_s, "token": token, "prune": prune,
        "commands": commands,
    }  # fmt: skip
    return read((yield from call(session, "PUT", "/v1/repository", body)), RepositoryInfo)


def repository(session: Session) -> Flow[RepositoryInfo]:
    """The branch that is followed, and what came of its newest commit."""
    return (yield from get(session, "/v1/repository", RepositoryInfo))


def sync_repository(session: Session) -> Flow[RepositoryInfo]:
    """Look for a new commit now, and try one that failed again. Returns at once; `repository` says how it goes."""
    return read((yield from call(session, "POST", "/v1/repository/sync")), RepositoryInfo)


def unfollow(session: Session) -> Flow[None]:
    """Follow no branch any more. What runs goes on running."""
    yield from call(session, "DELETE", "/v1/repository")
