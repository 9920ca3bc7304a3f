"""MemoryStore: a MetadataStore in dicts, for tests of what stands on one.

It passes the same contract as the real store and is the yardstick the real one is compared
with, so every method says in plain Python what it means.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import msgspec

from inferry.errors import Conflict, NotFound
from inferry.policy import traffic
from inferry.types.registry import Commit, Endpoint, Key, Model, Revision, RevisionConfig, Version
from inferry.types.webhooks import Event


class MemoryStore:
    """Forgets everything with the process."""

    def __init__(self) -> None:
        self._models: dict[str, float] = {}
        self._versions: dict[tuple[str, int], Version] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._revisions: dict[tuple[str, int], Revision] = {}
        self._keys: dict[str, Key] = {}
        self._last: defaultdict[tuple[str, str], int] = defaultdict(int)

    def commit_deploy(self, commit: Commit, now: float) -> tuple[Version, Revision, bool]:
        """Version (made, or found by its source), revision and traffic."""
        current = self._endpoints.get(commit.endpoint)
        if current is not None and current.model != commit.model:
            raise Conflict(f"The endpoint {commit.endpoint!r} serves the model {current.model!r}.")
        if current is None and commit.percent < 100:
            raise Conflict(f"Nothing serves {commit.endpoint!r} yet.")
        if commit.version:
            version: Version | None = self.version(commit.model, commit.version)
        else:
            version = self.find_version(commit.model, commit.manifest.source)
        made = version is None
        if version is None:
            self._models.setdefault(commit.model, now)
            version = Version(
                model=commit.model,
                number=self._next("model", commit.model),
                bundle=commit.bundle,
                source=commit.manifest.source,
                runtime=commit.manifest.runtime,
                size=commit.size,
                created=now,
                created_by=commit.created_by,
                manifest=commit.manifest,
                lineage=commit.lineage,
            )
            self._versions[version.model, version.number] = version
        revision = self._revise(commit.endpoint, version, commit.config, now, commit.created_by)
        self._keep(
            traffic.introduce(
                self._endpoints[commit.endpoint], revision.number, commit.percent, keep_warm=commit.keep_warm
            ),
            now,
        )
        return version, revision, made

    def commit_revision(
        self, endpoint: str, instead: int, config: RevisionConfig, now: float, created_by: str
    ) -> Revision:
        """A new revision of the version of another one, in its place."""
        found = self.endpoint(endpoint)
        if (endpoint, instead) not in self._revisions:
            raise NotFound(f"The endpoint {endpoint!r} has no revision {instead}.")
        old = self._revisions[endpoint, instead]
        revision = self._revise(endpoint, self.version(old.model, old.version), config, now, created_by)
        self._keep(traffic.supersede(found, instead, revision.number), now)
        return revision

    def change_traffic(
        self, endpoint: str, change: Callable[[Endpoint], Endpoint], now: float, *_told: Event
    ) -> Endpoint:
        """Share an endpoint's requests out among existing revisions."""
        made = change(self.endpoint(endpoint))
        for number in made.running:
            if (endpoint, number) not in self._revisions:
                raise NotFound(f"The endpoint {endpoint!r} has no revision {number}.")
        return self._keep(made, now)

    def find_version(self, model: str, source: str) -> Version | None:
        """The version made from these source bytes, if any."""
        return next((v for v in self._versions.values() if (v.model, v.source) == (model, source)), None)

    def models(self) -> list[Model]:
        """All models by name."""
        result = []
        for name, created in sorted(self._models.items()):
            numbers = [number for model, number in self._versions if model == name]
            result.append(Model(name=name, created=created, versions=len(numbers), latest=max(numbers, default=0)))
        return result

    def versions(self, model: str) -> list[Version]:
        """All versions of a model, oldest first."""
        if model not in self._models:
            raise NotFound(f"There is no model {model!r}.")
        return [v for _, v in sorted(self._versions.items()) if v.model == model]

    def version(self, model: str, number: int) -> Version:
        """One version."""
        if (model, number) not in self._versions:
            raise NotFound(f"There is no version {model}:{number}.")
        return self._versions[model, number]

    def endpoints(self) -> list[Endpoint]:
        """All endpoints by name."""
        return [endpoint for _, endpoint in sorted(self._endpoints.items())]

    def endpoint(self, name: str) -> Endpoint:
        """One endpoint."""
        if name not in self._endpoints:
            raise NotFound(f"There is no endpoint {name!r}.")
        return self._endpoints[name]

    def revisions(self, endpoint: str) -> list[Revision]:
        """All revisions of an endpoint, oldest first."""
        self.endpoint(endpoint)
        return [r for _, r in sorted(self._revisions.items()) if r.endpoint == endpoint]

    def delete_endpoint(self, name: str, *_told: Event) -> None:
        """Remove an endpoint and its revisions."""
        self.endpoint(name)
        del self._endpoints[name]
        self._revisions = {key: r for key, r in self._revisions.items() if r.endpoint != name}

    def delete_version(self, model: str, number: int) -> None:
        """Remove a version that no revision pins."""
        self.version(model, number)
        self._refuse_if_pinned(model, number)
        del self._versions[model, number]

    def delete_model(self, model: str) -> None:
        """Remove a model and its versions when no revision pins one."""
        for version in self.versions(model):
            self._refuse_if_pinned(model, version.number)
        del self._models[model]
        self._versions = {key: v for key, v in self._versions.items() if v.model != model}

    def bundles(self) -> set[str]:
        """Digests of all bundles that a version pins."""
        return {version.bundle for version in self._versions.values()}

    def keys(self) -> list[Key]:
        """All keys, oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.created, key.id))

    def add_key(self, key: Key) -> None:
        """Keep a key under a name of its own."""
        if key.id in self._keys or any(known.name == key.name for known in self._keys.values()):
            raise Conflict(f"A key named {key.name!r} exists.")
        self._keys[key.id] = key

    def delete_key(self, id_or_name: str) -> Key:
        """Forget a key, given its id or else its name."""
        named = next((key.id for key in self._keys.values() if key.name == id_or_name), "")
        key = self._keys.pop(id_or_name, None) or self._keys.pop(named, None)
        if key is None:
            raise NotFound(f"There is no key {id_or_name!r}.")
        return key

    def check(self) -> list[str]:
        """Nothing to go wrong."""
        return []

    def close(self) -> None:
        """Nothing to release."""

    def _next(self, scope: str, name: str) -> int:
        self._last[scope, name] += 1
        return self._last[scope, name]

    def _refuse_if_pinned(self, model: str, number: int) -> None:
        if any((r.model, r.version) == (model, number) for r in self._revisions.values()):
            raise Conflict(f"{model}:{number} is used.")

    def _revise(self, endpoint: str, version: Version, config: RevisionConfig, now: float, created_by: str) -> Revision:
        fresh = Endpoint(name=endpoint, model=version.model, traffic={}, created=now, updated=now)
        found = self._endpoints.setdefault(endpoint, fresh)
        revision = Revision(
            endpoint=endpoint,
            number=self._next("endpoint", endpoint),
            model=version.model,
            version=version.number,
            bundle=version.bundle,
            config=config,
            replaces=found.revision if found.traffic else 0,
            created=now,
            created_by=created_by,
        )
        self._revisions[endpoint, revision.number] = revision
        return revision

    def _keep(self, endpoint: Endpoint, now: float) -> Endpoint:
        for number in self._endpoints[endpoint.name].running - endpoint.running:
            this = endpoint.name, number
            self._revisions[this] = msgspec.structs.replace(self._revisions[this], stopped=now)
        self._endpoints[endpoint.name] = msgspec.structs.replace(endpoint, updated=now)
        return self._endpoints[endpoint.name]
