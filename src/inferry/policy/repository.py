"""Repository: which ones can be followed, when to look, and what a look means. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from msgspec.structs import replace

from inferry.errors import InvalidInput
from inferry.types.repository import Looked, Repository

SCP = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^\s:][^\s]*")
BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")
LOCAL = ("127.0.0.1", "localhost", "::1")
LEAST_S, MOST_S = 1.0, 86_400.0


def check(repository: Repository) -> Repository:
    """The repository, when it can be followed. Raises InvalidInput."""
    check_url(repository.url)
    branch = repository.branch
    if not BRANCH.fullmatch(branch) or ".." in branch or branch.endswith(("/", ".", ".lock")) or "//" in branch:
        raise InvalidInput(f"{branch[:60]!a} is not a branch.", help="Name one, such as main.")
    path = PurePosixPath(repository.path)
    if path.is_absolute() or ".." in path.parts or not repository.path.isprintable():
        raise InvalidInput(
            f"{repository.path[:60]!a} is no folder of a repository.", help="Name one in it, or . for all."
        )
    if not LEAST_S <= repository.interval_s <= MOST_S:
        raise InvalidInput("It cannot be looked at so often, or so seldom.", help="Give 1s to 1d.")
    return repository


def check_url(url: str) -> None:
    """Raise InvalidInput for what Git must not be given."""
    help = "Give https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, or an absolute path."
    if not url or len(url) > 2000 or not url.isprintable() or url.startswith("-"):
        raise InvalidInput("This is no address of a repository.", help=help)
    if url.startswith("/") or ("://" not in url and SCP.fullmatch(url)):
        return
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidInput(f"This is not a URL: {error}.", help=help) from error
    if parts.scheme == "http" and parts.hostname not in LOCAL:
        raise InvalidInput("Over http anybody on the way could change what runs.", help="Use https or ssh.")
    if parts.scheme not in ("https", "http", "ssh", "file") or (parts.scheme != "file" and not parts.hostname):
        raise InvalidInput(f"A repository cannot be at {url[:80]!a}.", help=help)
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise InvalidInput("A URL with a user or password would be shown to many.", help="Give it with --token-file.")


def due(repository: Repository, now: float) -> bool:
    """Whether to look now."""
    return repository.asked > repository.looked or now >= repository.looked + repository.interval_s


def after(repository: Repository, looked: Looked, began: float, now: float) -> tuple[Repository, bool]:
    """The record after a look, and whether there is something to tell: a commit that was done, or another trouble."""
    seen = replace(repository, looked=began, trouble="")
    if looked.state == "same":
        return seen, False
    if looked.state == "unreachable":
        trouble = " ".join(looked.words)
        return replace(seen, trouble=trouble), trouble != repository.trouble
    made = replace(
        seen, state=looked.state, words=looked.words, at=now,
        commit=looked.commit or repository.commit,
        models=looked.models if looked.commit else repository.models,
        versions=looked.versions if looked.commit else repository.versions,
    )  # fmt: skip
    news = bool(looked.commit) or (made.state, made.words) != (repository.state, repository.words)
    return made, news
