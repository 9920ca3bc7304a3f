"""Rollouts: the guarded move of an endpoint's traffic from a stable revision to a canary.

Data flow: a Strategy and the Rollout's state -> `policy.rollout` with an Observation, or with what a person
wants (Act) -> a Decision, whose `rollout` is the next state. Control writes that state and the decision in one
transaction before it moves any traffic, so that a restart goes on from the last decision.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from inferry.types.analysis import DEFAULT_CHECKS, Bins, Check, Evidence, Reading

Phase = Literal["starting", "baking", "paused", "promoted", "aborted"]
Action = Literal["wait", "advance", "pause", "resume", "abort", "promote"]

POLICY = "policy"
"""Who decided, when no person did."""


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step: the canary's `weight` in percent, watched for `bake_s` seconds at least.

    When it has passed, the rollout holds for another `pause_s` seconds, or, with `approve`, until a person
    approves. `checks`: the names of those that judge this step; None: all.
    """

    weight: int
    bake_s: float = 120.0
    pause_s: float = 0.0
    approve: bool = False
    checks: tuple[str, ...] | None = None


class Strategy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps, and the checks that run all the time. After the last step the canary gets all traffic.

    `alpha`: the largest chance that a canary within the limits is aborted, over all checks and the whole rollout,
    however often one looks. `start_timeout_s`: for the canary to become ready. `patience_s`: how long after
    its bake time a step may stay undecided before it pauses as inconclusive.
    """

    steps: tuple[Step, ...]
    checks: tuple[Check, ...] = DEFAULT_CHECKS
    alpha: float = 0.01
    start_timeout_s: float = 600.0
    patience_s: float = 1800.0


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Why a rollout stands still. `by`: `policy` or a person. `kind`: inconclusive (ends by itself when the data
    suffice), timer (ends at `until`), approval, or person. `guarded`: a failing check still aborts."""

    by: str
    kind: Literal["inconclusive", "timer", "approval", "person"]
    reason: str = ""
    until: float | None = None
    guarded: bool = True


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a rollout: all that a decision needs beside the strategy and what is observed.

    `stable`, `canary`: revisions. `step`: position in the strategy, -1 before the canary is ready. `weight`: the
    canary's percent of traffic. `since`: when the step began; `began`: when the canary got its first traffic
    (0: not yet). `read_until`: the end of the last window that is in `evidence` (by check). `bins`: how answers are
    counted, None until the stable revision has given enough. Times are seconds.
    """

    id: str
    endpoint: str
    stable: int
    canary: int
    started: float
    since: float
    phase: Phase = "starting"
    step: int = -1
    weight: int = 0
    began: float = 0.0
    read_until: float = 0.0
    pause: Pause | None = None
    evidence: dict[str, Evidence] = {}
    bins: Bins | None = None
    ended_by: str = ""
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.phase in {"promoted", "aborted"}


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants. `resume` ends any pause and gives an approval; `skip` takes the next step now; `promote`
    gives the canary all traffic now; `guarded` goes with `pause`: False holds even a canary that fails."""

    kind: Literal["pause", "resume", "skip", "promote", "abort"]
    by: str
    reason: str = ""
    guarded: bool = True


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now, and why.

    `rollout` is the state to write, `weight` the canary's percent from now on. `evidence`: what each check said.
    `wake`: when to look again even if nothing new is observed; None: at the next window.
    """

    action: Action
    rollout: Rollout
    weight: int
    at: float
    by: str
    reason: str
    evidence: tuple[Reading, ...] = ()
    wake: float | None = None


class RolloutRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout as it is kept. `turn` counts the writes: who writes must have read the latest. `decisions`: how many
    were recorded; every decision but waiting is."""

    rollout: Rollout
    strategy: Strategy
    created_by: str
    updated: float
    turn: int = 0
    decisions: int = 0


class RecordedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of a rollout, with its evidence. `at`: Unix seconds; `weight`: the canary's percent from then on."""

    number: int
    at: float
    action: Action
    by: str
    reason: str
    weight: int
    evidence: tuple[Reading, ...] = ()
