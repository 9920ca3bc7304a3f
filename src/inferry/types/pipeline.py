"""Runs: a version on its way up the ladder of its model's pipeline.

Data flow: a new version -> Run -> `policy.pipeline.decide` with what is Seen -> a Turn: the next state, written with
its words in one transaction, and what to do about it -> done -> Seen again, until the run has ended. All that is
done can be done twice: a control process that dies goes on from the state that was written.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from inferry.types.project import Pipeline
from inferry.types.rollout import Strategy

RunPhase = Literal[
    "gates", "queue", "approval", "deploy", "replay", "shadow", "move", "smoke", "name", "back",
    "done", "failed", "superseded", "canceled",
]  # fmt: skip
ENDED: tuple[RunPhase, ...] = ("done", "failed", "superseded", "canceled")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a run. `pipeline`, `strategies`: as declared when it began. `stage`: position on the ladder.

    `since`: when the phase began (Unix seconds). `revision`: what the stage's endpoint calls the version (0: not
    there yet). `before`: the revision that had the endpoint's traffic until then (0: none). `approved_by`: who let
    this stage begin. `ended_by`, `reason`: how it ended, or why it stands where it is, in words. `ending`: what a
    run that goes back will be then.
    """

    id: str
    model: str
    version: int
    pipeline: Pipeline
    strategies: dict[str, Strategy] = {}
    started: float
    created_by: str
    since: float
    phase: RunPhase = "gates"
    stage: int = 0
    revision: int = 0
    before: int = 0
    approved_by: str = ""
    ended_by: str = ""
    reason: str = ""
    ending: Literal["failed", "canceled"] = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.phase in ENDED

    @property
    def endpoint(self) -> str:
        """The endpoint of the stage."""
        return self.pipeline.stages[min(self.stage, len(self.pipeline.stages) - 1)].endpoint

    @property
    def at_work(self) -> bool:
        """Whether it changes an endpoint now."""
        return self.phase in {"deploy", "replay", "shadow", "move", "smoke", "back"}


class Trialled(msgspec.Struct, frozen=True, kw_only=True):
    """What the version's gates said last."""

    passed: bool
    words: str = ""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """How a rollout to the stage's revision stands. `person`: who promoted it, "" when its policy did."""

    ended: Literal["", "promoted", "aborted"] = ""
    person: str = ""
    words: str = ""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Answers of the shadow, or of a replay: how many were compared, how many differed."""

    compared: int = 0
    differing: int = 0


class Smoked(msgspec.Struct, frozen=True, kw_only=True):
    """What the smoke test said; `wrong`: why it failed, "" when it passed."""

    asked: int = 0
    wrong: str = ""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at one look. `revision`: the stage's revision of this version (0: none). `serving`: the one with
    most of the traffic (0: none). `share`: percents of this version's. `mirrored`: whether copies go to it.
    `newer`: a younger version of the model that has passed its gates. `busy`: the version of another run of the
    model that is at work. `named`: whether the pipeline's alias names the version. `problem`: why the last thing
    that was to be done could not be."""

    trial: Trialled | None = None
    newer: int = 0
    busy: int = 0
    frozen_until: float | None = None
    revision: int = 0
    serving: int = 0
    share: int = 0
    mirrored: bool = False
    rollout: Moved | None = None
    compared: Compared | None = None
    replayed: Compared | None = None
    smoked: Smoked | None = None
    named: bool = False
    problem: str = ""


Deed = Literal[
    "", "release", "release-idle", "mirror", "unmirror", "roll-out", "switch", "replay", "smoke",
    "go-back", "name",
]  # fmt: skip
"""What is to be done: serve the version (`release`: it takes the traffic as its stage says; `release-idle`: it only
runs), begin or end the shadow, give it the traffic by a rollout or at once, send it again what the endpoint was asked,
ask it, return to the revision before, move the pipeline's alias."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What happens now: the next state, why ("": nothing new), what to do, when to look again at the latest."""

    run: Run
    words: str = ""
    deed: Deed = ""
    wake: float | None = None


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it is kept. `turn` counts the writes: who writes must have read the latest."""

    run: Run
    updated: float
    turn: int = 0


class RunEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run: what was decided at a moment (Unix seconds), by whom, and why."""

    number: int
    at: float
    phase: RunPhase
    stage: int
    by: str
    words: str
