"""RolloutStore: rollouts with their decisions. Each call is one transaction, durable when it returns."""

from __future__ import annotations

from typing import Protocol

from inferry.types.rollout import Decision, RecordedDecision, RolloutRecord, Strategy


class RolloutStore(Protocol):
    """Kept beside the endpoints whose traffic they move. Raises NotFound and Conflict."""

    def begin_rollout(self, endpoint: str, canary: int, strategy: Strategy, now: float, by: str) -> RolloutRecord:
        """A rollout from the revision that has all traffic to `canary`, which runs without a share from now on.
        Conflict when one is under way, or when traffic is split."""
        ...

    def keep_decision(self, record: RolloutRecord, decision: Decision) -> RolloutRecord:
        """Write the next state, the decision unless it is to wait, and the traffic that goes with it. Conflict when
        `record` is not the latest."""
        ...

    def rollouts(self, endpoint: str = "", *, active: bool = False) -> list[RolloutRecord]:
        """Those of an endpoint, or of all, oldest first; `active`: only those that have not ended."""
        ...

    def rollout(self, id: str) -> RolloutRecord:
        """One rollout."""
        ...

    def decisions(self, id: str, after: int = 0) -> list[RecordedDecision]:
        """Its decisions with a number over `after`."""
        ...
