"""Callers: refuses what would break those who call an endpoint, unless somebody said that it is meant.

Data flow: who would get requests -> the version that has most of them now -> `policy.compatibility` -> nothing, or
BreakingChange. Whoever served before may always serve again: going back is never refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inferry.interfaces.store import MetadataStore
from inferry.policy import compatibility
from inferry.types.registry import Endpoint, Revision, Version


class Callers:
    """What every refusal needs to look at. All calls are synchronous."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store

    def serving(self, name: str) -> Revision | None:
        """The revision with the largest share of an endpoint that may not be there."""
        found = {endpoint.name: endpoint for endpoint in self._store.endpoints()}.get(name)
        return None if found is None else self._revisions(found)[found.revision]

    def refuse_version(self, name: str, candidate: Version) -> None:
        """For a version that is to get requests of an endpoint. Raises BreakingChange."""
        serving = self.serving(name)
        if serving is not None and serving.model == candidate.model:
            compatibility.refuse(self._version(serving), candidate, name)

    def refuse_shares(self, name: str, weights: Mapping[int, int]) -> None:
        """For the revisions that get a share and had none. Raises BreakingChange."""
        endpoint = self._store.endpoint(name)
        self._refuse(endpoint, (number for number, percent in weights.items() if percent))

    def refuse_revision(self, name: str, number: int) -> None:
        """For a revision that is to get requests by and by. Raises BreakingChange."""
        self._refuse(self._store.endpoint(name), (number,))

    def _refuse(self, endpoint: Endpoint, numbers: Iterable[int]) -> None:
        known = self._revisions(endpoint)
        old = self._version(known[endpoint.revision])
        for number in numbers:
            served = number <= endpoint.revision or number in endpoint.traffic
            if not served and number in known:  # the store refuses what is not there
                compatibility.refuse(old, self._version(known[number]), endpoint.name)

    def _revisions(self, endpoint: Endpoint) -> dict[int, Revision]:
        return {revision.number: revision for revision in self._store.revisions(endpoint.name)}

    def _version(self, revision: Revision) -> Version:
        return self._store.version(revision.model, revision.version)
