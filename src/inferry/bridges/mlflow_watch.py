"""A registry that is watched: each look does what an alias that moved asks for, and nothing twice.

Data flow: alias -> MLflow's version -> ours, by its labels; else fetched and pushed with its lineage -> its gates ->
its pipeline's run -> our alias `mlflow-ALIAS` is moved to it.

All that is remembered is kept by the platform: a version's labels say of which version it was made, and the alias
which one was dealt with last. So a watch may be ended at any moment, and begun again anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from inferry.bridges.mlflow_files import fetch_files
from inferry.bridges.mlflow_lineage import is_of, lineage_of, reference
from inferry.bridges.mlflow_rest import Registered, Registry
from inferry.errors import (
    Conflict,
    InferryError,
    InvalidInput,
    InvalidModel,
    MissingPlugin,
    NotFound,
    TooLarge,
    Unsupported,
)
from inferry.types.names import check_alias, check_name, suggest_name

if TYPE_CHECKING:
    from inferry.client import Client
    from inferry.client.pipeline_answers import RunInfo
    from inferry.client.version_answers import VersionInfo

State = Literal["waiting", "current", "moved", "failed", "refused", "trouble"]

HOPELESS = (InvalidModel, InvalidInput, TooLarge, MissingPlugin, Unsupported)
"""What a version is refused for: it stays so, however often it is tried."""
LONGEST_PAUSE_S = 600.0


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a look found. `state`: waiting (there is nothing to take yet), current (nothing to do), moved (the alias
    was, and all is under way), failed (it was, and a gate failed), refused (the version cannot be served), trouble
    (the look itself failed). `source` is MLflow's version, `version` ours, `run` that of its pipeline."""

    state: State
    words: str
    source: str = ""
    version: int = 0
    run: str = ""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """`model` and `alias` as MLflow calls them, `name` as we do. The rest is as for a push."""

    model: str
    alias: str
    name: str = ""
    sample: Path | None = None
    convert: str | None = None
    labels: dict[str, str] = field(default_factory=dict)


class Watch:
    """Looks. `gate` runs the gates of a version of ours when there are any for it, and says whether they passed."""

    def __init__(
        self, registry: Registry, platform: Client, wanted: Wanted, gate: Callable[[VersionInfo], bool | None]
    ) -> None:
        self.name = check_name(wanted.name or suggest_name(wanted.model), "model name")
        self.mark = check_alias(suggest_name(f"mlflow-{wanted.alias}"))
        self._registry = registry
        self._platform = platform
        self._wanted = wanted
        self._gate = gate
        self._same: dict[str, int] = {}  # by MLflow's version, one of ours that had the same bytes before
        self._refused: dict[str, str] = {}

    def look(self) -> Look:
        """See where the alias points, and do what is to be done. Raises InferryError for troubles that pass."""
        try:
            found = self._registry.aliased(self._wanted.model, self._wanted.alias)
        except NotFound as error:
            return Look(state="waiting", words=error.message)
        source = reference(found)
        if found.status != "READY":
            return Look(state="waiting", words=f"{source} is {found.status}.", source=source)
        if source in self._refused:
            return Look(state="refused", words=self._refused[source], source=source)
        ours = self._ours(found)
        if ours is not None and self.mark in ours.aliases:
            return Look(state="current", words=f"{source} is {self.name}:{ours.number}.", source=source,
                        version=ours.number)  # fmt: skip
        if ours is None:
            try:
                ours = self._register(found)
            except HOPELESS as error:
                self._refused[source] = words = f"{source} cannot be served. {error.sentence()}"
                return Look(state="refused", words=words, source=source)
        return self._under_way(source, ours)

    def _under_way(self, source: str, ours: VersionInfo) -> Look:
        """Gates, run, alias, in this order: what was not reached is done by the next look."""
        passed = self._gate(ours)
        run = self._run(ours.number)
        self._platform.move_alias(self.name, self.mark, ours.number)
        at = f"{source} is {self.name}:{ours.number}."
        if passed is False:
            words = f"{at} Its gates failed."
        else:
            words = f"{at} Its pipeline has begun." if run else f"{at} No pipeline takes it on."
        return Look(
            state="failed" if passed is False else "moved", words=words, source=source, version=ours.number,
            run=run.id if run else "",
        )  # fmt: skip

    def _ours(self, found: Registered) -> VersionInfo | None:
        """The version that was made of it."""
        try:
            versions = self._platform.versions(self.name)
        except NotFound:
            return None
        same = self._same.get(found.version)
        its = [v for v in versions if v.number == same or is_of(v.lineage.labels, self._registry.url, found)]
        return its[-1] if its else None

    def _register(self, found: Registered) -> VersionInfo:
        """Fetch and push it."""
        training = self._registry.training(found.run_id) if found.run_id else None
        with tempfile.TemporaryDirectory(prefix="inferry-mlflow-") as scratch:
            folder = Path(scratch) / self.name
            folder.mkdir()
            fetch_files(self._registry, self._registry.folder(found.name, found.version), folder)
            lineage = lineage_of(self._registry.url, found, training)
            labels = self._wanted.labels | lineage.labels
            pushed = self._platform.push(
                folder, self.name, self._wanted.sample, convert=self._wanted.convert,
                lineage=msgspec.structs.replace(lineage, labels=labels),
            )  # fmt: skip
        self._same[found.version] = pushed.version
        return self._platform.version(self.name, pushed.version)

    def _run(self, number: int) -> RunInfo | None:
        """The version's run: the one that has begun with its push, or before a watch was ended; else a new one."""
        runs = self._platform.runs(self.name)
        if runs and runs[-1].version == number:
            return runs[-1]
        try:
            return self._platform.start_run(self.name, number)
        except NotFound:
            return None
        except Conflict:
            return next((run for run in reversed(self._platform.runs(self.name)) if run.version == number), None)


def pause_after(failures: int, interval: float) -> float:
    """How long to wait before the next look, after so many that failed, one after the other."""
    return min(interval * 2.0 ** min(failures, 32), max(interval, LONGEST_PAUSE_S))


def trouble(error: InferryError) -> Look:
    """A look that failed, in words."""
    return Look(state="trouble", words=error.sentence())
