"""GitOps: follows a Git branch, so that what runs is what its newest commit declares.

Data flow: the Repository that is followed -> when it is due, a look (`onlooker`) -> what came of it, kept and told in
one transaction. Nothing is remembered here: a control process that dies looks again, and a commit that was carried out
half is carried out once more, which changes nothing that was done already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from inferry.control.onlooker import Onlooker
from inferry.errors import InferryError, InvalidInput, NotFound
from inferry.interfaces.repository import RepositoryStore
from inferry.policy import events
from inferry.policy import repository as policy
from inferry.security.seal import seal, unseal
from inferry.types.repository import Looked, Order, Repository
from inferry.types.webhooks import Event

log = logging.getLogger(__name__)

LOOK_S = 1.0
NONE_S = 60.0
"""While no repository is followed: whoever follows one wakes the loop."""
MAX_TOKEN = 2000


class GitOps:
    """One loop. `staging`: where a look may work."""

    def __init__(
        self, kept: RepositoryStore, onlooker: Onlooker, staging: Path, pepper: bytes, clock: Callable[[], float]
    ) -> None:
        self._kept = kept
        self._onlooker = onlooker
        self._staging = staging
        self._pepper = pepper
        self._clock = clock
        self._news = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._news.clear()
            pause = LOOK_S
            try:
                found = await asyncio.to_thread(self._kept.repository)
                if found is None:
                    pause = NONE_S
                elif policy.due(found, self._clock()):
                    await self._look(found)
            except InferryError as error:
                log.warning("the repository cannot be looked at: %s", error.sentence())
            except Exception:
                log.exception("looking at the repository failed; trying again")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause)

    async def _look(self, found: Repository) -> None:
        began = self._clock()
        folder = Path(tempfile.mkdtemp(prefix="gitops-", dir=self._staging))
        again = found.asked > found.looked and found.state == "failed"
        order = Order(
            url=found.url, branch=found.branch, path=found.path, folder=str(folder / "tree"), prune=found.prune,
            token=unseal(found.sealed, self._pepper).decode() if found.sealed else "", commands=found.commands,
            known="" if again else found.commit, models=found.models, versions=found.versions,
        )  # fmt: skip
        try:
            looked = await self._onlooker.look(order)
        except InferryError as error:
            looked = Looked(state="unreachable", words=(error.sentence(),))
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await asyncio.to_thread(self._kept.change_repository, lambda now: self._after(found, now, looked, began))
        if looked.state != "same":
            log.info("repository: %s %s %s", looked.state, looked.commit, "; ".join(looked.words))

    def _after(
        self, before: Repository, now: Repository | None, looked: Looked, began: float
    ) -> tuple[Repository | None, tuple[Event, ...]]:
        """The record after a look; as it is when another repository is followed by now."""
        if now is None or now.created != before.created:
            return now, ()
        made, news = policy.after(now, looked, began, self._clock())
        return made, (events.looked(made),) if news else ()

    # what people want

    async def follow(self, wanted: Repository, token: str) -> dict[str, Any]:
        """Follow a branch from now on, in place of any other."""
        if len(token) > MAX_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidInput("This is no token.", help="Give a file with the token alone.")
        if token and not wanted.url.startswith("https://"):
            raise InvalidInput("A token is for https.", help="Give an https URL, or leave it out.")
        policy.check(wanted)
        sealed = seal(token.encode(), self._pepper) if token else ""
        made = msgspec.structs.replace(wanted, sealed=sealed, created=self._clock())

        def change(before: Repository | None) -> tuple[Repository | None, tuple[Event, ...]]:
            if before is None or (before.url, before.path) != (made.url, made.path):
                return made, ()
            known = {"models": before.models, "versions": before.versions}  # pushed already
            return msgspec.structs.replace(made, **known), ()

        try:
            await asyncio.to_thread(self._kept.change_repository, change)
        finally:
            self._news.set()  # it may have been written though the database went away
        return repository_row(made)

    async def sync(self) -> dict[str, Any]:
        """Look now; a commit that failed is tried again."""

        def change(found: Repository | None) -> tuple[Repository | None, tuple[Event, ...]]:
            return msgspec.structs.replace(need(found), asked=self._clock()), ()

        return repository_row(need(await asyncio.to_thread(self._kept.change_repository, change)))

    async def unfollow(self) -> None:
        """Follow none. What runs goes on running."""

        def change(found: Repository | None) -> tuple[Repository | None, tuple[Event, ...]]:
            need(found)
            return None, ()

        await asyncio.to_thread(self._kept.change_repository, change)

    def show(self) -> dict[str, Any]:
        """The repository, and what came of its newest commit."""
        return repository_row(need(self._kept.repository()))


def need(found: Repository | None) -> Repository:
    """The repository. Raises NotFound when none is followed."""
    if found is None:
        raise NotFound("No repository is followed.", help="Follow one: inferry gitops follow URL")
    return found


def repository_row(found: Repository) -> dict[str, Any]:
    """A repository as the API shows it: without its token."""
    row: dict[str, Any] = msgspec.to_builtins(found)
    del row["models"], row["sealed"]
    return row | {"token": bool(found.sealed)}
