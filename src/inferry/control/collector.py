"""Collector: removes bundles and environments that no version needs, never while a deploy is at work.

Data flow: versions were deleted -> `collect` -> no deploy at work: what versions name -> the bundles that were asked
about and the environments that remain are removed. Else once the last deploy has ended: until then what it makes is
named by nothing. What a control process does not come to is removed when the next one starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.environments import EnvironmentStore
from inferry.interfaces.lead import Alone, Permit
from inferry.interfaces.store import MetadataStore


class Collector:
    """Knows the deploys at work."""

    def __init__(
        self, store: MetadataStore, blobs: BlobStore, environments: EnvironmentStore, permit: Permit | None = None
    ) -> None:
        self._permit = permit or Alone()
        self._store = store
        self._blobs = blobs
        self._environments = environments
        self._removing = asyncio.Lock()
        self._working = 0
        self._due = False
        self._bundles: set[str] = set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """While a deploy builds and commits: nothing is removed. Waits for a removal that goes on."""
        async with self._removing:
            self._working += 1
        try:
            yield
        finally:
            self._working -= 1
            await self._when_idle()

    async def collect(self, bundles: set[str]) -> None:
        """Remove these bundles, unless a version pins them, and unused environments: now, or when the last deploy at
        work has ended."""
        self._due = True
        self._bundles |= bundles
        await self._when_idle()

    async def alone(self, work: Callable[[], None]) -> None:
        """Do something in a thread during which no deploy begins. For the start, when none has."""
        async with self._removing:
            await asyncio.to_thread(work)

    async def _when_idle(self) -> None:
        async with self._removing:
            if self._due and not self._working:
                self._due = False
                bundles, self._bundles = self._bundles, set()
                await asyncio.to_thread(self._remove, bundles)

    def _remove(self, bundles: set[str]) -> None:
        for digest in bundles - self._store.bundles():
            self._permit.check()
            self._blobs.delete(digest)
        self._permit.check()
        self._environments.remove_unused(environments_of(self._store))


def environments_of(store: MetadataStore) -> set[str]:
    """The environments that versions need."""
    versions = (version for model in store.models() for version in store.versions(model.name))
    return {version.manifest.environment.digest for version in versions}
