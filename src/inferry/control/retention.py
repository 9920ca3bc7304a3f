"""Retention: removes old versions, when somebody asks and by each model's rule every hour.

Data flow: the store, in one transaction: what holds a model's versions -> `policy.retention` -> versions and the
revisions that pin them go; then bundles and environments that nothing else needs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from inferry.control.collector import Collector
from inferry.errors import InferryError
from inferry.interfaces.retention import RetentionStore
from inferry.policy import retention as policy
from inferry.types.retention import KeptRule, Retention, Stand, Verdict

log = logging.getLogger(__name__)

LOOK_S = 3600.0


class Retentions:
    """One loop, and what people want."""

    def __init__(self, kept: RetentionStore, collector: Collector, clock: Callable[[], float]) -> None:
        self._kept = kept
        self._collector = collector
        self._clock = clock

    async def run(self) -> None:
        """For ever, beginning now."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("looking for old versions failed; trying again")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Do as every model's rule says."""
        for kept in await asyncio.to_thread(self._kept.retentions):
            try:
                await self.prune(kept.model, kept.rule)
            except InferryError as error:
                log.warning("the old versions of %s stay: %s", kept.model, error.sentence())

    async def prune(self, model: str, rule: Retention | None, *, dry_run: bool = False) -> dict[str, Any]:
        """Remove the versions that a rule, or else the model's own, lets go. `dry_run`: only say which."""
        followed = await asyncio.to_thread(self._rule, model) if rule is None else policy.check_rule(rule)
        if dry_run:
            stand = await asyncio.to_thread(self._kept.stand, model)
            return self._row(model, followed, policy.sort_out(stand, followed, self._clock()), dry_run=True)
        verdicts: list[Verdict] = []

        def choose(stand: Stand) -> set[int]:
            verdicts[:] = policy.sort_out(stand, followed, self._clock())
            return {verdict.number for verdict in verdicts if verdict.removed}

        gone = await asyncio.to_thread(self._kept.prune, model, choose)
        if gone:
            log.info("old versions are removed: %s", ", ".join(version.reference for version in gone))
            await self._collector.collect({version.bundle for version in gone})
        return self._row(model, followed, tuple(verdicts), dry_run=False)

    def rule(self, model: str) -> dict[str, Any]:
        """A model's rule; `rule` is None when it has none."""
        kept = self._kept.retention(model)
        return {"model": model, "rule": None} if kept is None else msgspec.to_builtins(kept)

    def set_rule(self, model: str, rule: Retention, by: str) -> dict[str, Any]:
        """Give a model a rule."""
        policy.check_rule(rule)
        self._kept.keep_retention(KeptRule(model=model, rule=rule, updated=self._clock(), updated_by=by))
        return self.rule(model)

    def delete_rule(self, model: str) -> None:
        """Let no version of a model go by itself."""
        self._kept.delete_retention(model)

    def _rule(self, model: str) -> Retention:
        kept = self._kept.retention(model)
        return Retention() if kept is None else kept.rule

    @staticmethod
    def _row(model: str, rule: Retention, verdicts: tuple[Verdict, ...], *, dry_run: bool) -> dict[str, Any]:
        return {
            "model": model,
            "dry_run": dry_run,
            "rule": msgspec.to_builtins(rule),
            "versions": msgspec.to_builtins(verdicts),
        }
