"""Rollout: what happens next to a canary. Pure: the time, the state and what was seen are given.

Data flow: (rollout, strategy, observation, now) -> `decide` -> a Decision with its evidence and the next state.
(rollout, strategy, act, now) -> `act` -> what a person wants, done or refused.

The rules (from Argo Rollouts, Flagger and what both leave open):

- a failing check aborts, at any moment: the canary's weight is 0 again. A model that does not load aborts at once;
- missing data never aborts. It keeps a step from passing where a check is needed, and the step then pauses
  as inconclusive once the patience is over. That pause ends by itself when the data suffice, or by a person;
- a step passes when its bake time is over, every needed check has samples enough, and none is suspect;
- the policy may only abort a canary. It never resumes a person's pause, and never touches what has ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from inferry.errors import Conflict
from inferry.policy.analysis import marked, observe, read
from inferry.policy.strategy import check_alpha
from inferry.types.analysis import Observation, Reading
from inferry.types.rollout import POLICY, Act, Action, Decision, Pause, Rollout, Strategy


def begin(id: str, endpoint: str, stable: int, canary: int, now: float) -> Rollout:
    """A rollout that waits for its canary to become ready."""
    return Rollout(id=id, endpoint=endpoint, stable=stable, canary=canary, started=now, since=now, read_until=now)


def decide(rollout: Rollout, strategy: Strategy, observation: Observation, now: float) -> Decision:
    """What the policy does now. Decides the same for the same arguments, however often it is asked.

    InvalidInput: histograms with other buckets than before.
    """
    if rollout.ended:
        return _decision("wait", rollout, now, POLICY, f"It has ended: {rollout.reason}")
    alpha = check_alpha(strategy)
    evidence, read_until = observe(
        strategy.checks, rollout.evidence, observation, read_until=rollout.read_until, began=rollout.began, alpha=alpha
    )
    rollout = replace(rollout, evidence=evidence, read_until=read_until)
    said = readings(rollout, strategy, observation.latency_bounds)
    failed = _failed(observation, said)
    if failed and (rollout.pause is None or rollout.pause.guarded):
        return _end("aborted", rollout, now, POLICY, failed, said)
    match rollout.phase:
        case "starting":
            return _start(rollout, strategy, observation, now, said)
        case "paused":
            return _paused(rollout, strategy, now, said, failed)
    return _bake(rollout, strategy, now, said)


def act(rollout: Rollout, strategy: Strategy, wish: Act, now: float) -> Decision:
    """What a person wants. Conflict when the rollout has ended, is not ready for it, or has nothing to resume."""
    if rollout.ended:
        raise Conflict(f"The rollout has ended: {rollout.reason}", help="Begin another one, or roll back the endpoint.")
    if rollout.step < 0 and wish.kind in {"skip", "promote"}:
        raise Conflict("The canary is not ready yet.", help="Wait until it is, or abort the rollout.")
    said = f": {wish.reason}" if wish.reason else "."
    match wish.kind:
        case "abort":
            return _end("aborted", rollout, now, wish.by, f"{wish.by} aborted it{said}")
        case "promote":
            return _end("promoted", rollout, now, wish.by, f"{wish.by} promoted it{said}")
        case "pause":
            pause = Pause(by=wish.by, kind="person", reason=wish.reason, guarded=wish.guarded)
            return _pause(rollout, now, wish.by, pause, f"{wish.by} paused it{said}")
        case "skip":
            return _next(rollout, strategy, now, wish.by, f"{wish.by} went on to the next step{said}")
    if rollout.pause is None:
        raise Conflict("The rollout is not paused.", help="To go on before the step has passed, skip it.")
    if rollout.pause.kind == "person":
        return _resume(rollout, now, wish.by, f"{wish.by} resumed it{said}")
    return _next(rollout, strategy, now, wish.by, f"{wish.by} approved the step{said}")


def readings(rollout: Rollout, strategy: Strategy, latency_bounds: tuple[float, ...]) -> tuple[Reading, ...]:
    """What each check says now, from the evidence so far."""
    names = strategy.steps[rollout.step].checks if rollout.step >= 0 else None
    last = rollout.step == len(strategy.steps) - 1
    alpha = check_alpha(strategy)
    return read(strategy.checks, rollout.evidence, alpha, latency_bounds, names=names, last=last)


def _failed(observation: Observation, readings: Sequence[Reading]) -> str:
    """Why the canary must go, "" when nothing says so."""
    if observation.health and observation.health.failed:
        return f"The canary does not load: {observation.health.failed}"
    failing = [reading for reading in readings if reading.verdict == "fail"]
    return "; ".join(f"{reading.check}: {reading.words}" for reading in failing)


def _start(
    rollout: Rollout, strategy: Strategy, observation: Observation, now: float, readings: tuple[Reading, ...]
) -> Decision:
    if observation.health and observation.health.ready:
        return _next(rollout, strategy, now, POLICY, "The canary is ready.", readings)
    due = rollout.since + strategy.start_timeout_s
    if observation.health and now >= due:
        why = f"The canary was not ready within {strategy.start_timeout_s:g} s."
        return _end("aborted", rollout, now, POLICY, why, readings)
    return _decision("wait", rollout, now, POLICY, "The canary is starting.", readings, due)


def _paused(rollout: Rollout, strategy: Strategy, now: float, readings: tuple[Reading, ...], failed: str) -> Decision:
    pause = rollout.pause
    assert pause is not None
    if pause.kind == "timer" and now >= (pause.until or 0):
        return _next(rollout, strategy, now, POLICY, "The pause is over.", readings)
    if pause.kind == "inconclusive" and not _open(rollout, strategy, readings):
        return _resume(rollout, now, POLICY, "There is data enough now.", readings)
    why = f"Paused by {pause.by}" + (f": {pause.reason}" if pause.reason else ".")
    if failed:
        why += f" It would be aborted, but is held as it is. {failed}"
    return _decision("wait", rollout, now, POLICY, why, readings, pause.until)


def _bake(rollout: Rollout, strategy: Strategy, now: float, readings: tuple[Reading, ...]) -> Decision:
    step = strategy.steps[rollout.step]
    due = rollout.since + step.bake_s
    if now < due:
        why = f"Step {rollout.step + 1} at {step.weight} % is watched for {step.bake_s:g} s."
        return _decision("wait", rollout, now, POLICY, why, readings, due)
    undecided = _open(rollout, strategy, readings)
    if undecided:
        due += strategy.patience_s
        if now < due:
            return _decision("wait", rollout, now, POLICY, f"Not decided yet: {undecided}", readings, due)
        pause = Pause(by=POLICY, kind="inconclusive", reason=undecided)
        return _pause(rollout, now, POLICY, pause, f"Inconclusive: {undecided}", readings)
    if step.approve:
        pause = Pause(by=POLICY, kind="approval", reason="the step passed and waits for approval")
        return _pause(rollout, now, POLICY, pause, "The step passed and waits for approval.", readings)
    if step.pause_s:
        pause = Pause(by=POLICY, kind="timer", reason=f"{step.pause_s:g} s after the step", until=now + step.pause_s)
        return _pause(rollout, now, POLICY, pause, f"The step passed; a pause of {step.pause_s:g} s.", readings)
    return _next(rollout, strategy, now, POLICY, "The step passed.", readings)


def _open(rollout: Rollout, strategy: Strategy, readings: Sequence[Reading]) -> str:
    """What keeps the step from passing, "" when nothing does."""
    last = rollout.step == len(strategy.steps) - 1
    waits = {("few", "each"), ("missing", "each")}
    if last:
        waits |= {("few", "last"), ("missing", "last"), ("few", "if-any")}
    return "; ".join(
        f"{reading.check} ({reading.verdict}): {reading.words}"
        for reading in readings
        if reading.verdict == "suspect" or (reading.verdict, reading.needed) in waits
    )


def _next(
    rollout: Rollout, strategy: Strategy, now: float, by: str, why: str, readings: tuple[Reading, ...] = ()
) -> Decision:
    """The next step, or the promotion behind the last."""
    step = rollout.step + 1
    if step == len(strategy.steps):
        return _end("promoted", rollout, now, by, f"{why} It was the last step.", readings)
    weight = strategy.steps[step].weight
    rollout = replace(
        rollout, phase="baking", pause=None, step=step, weight=weight, since=now,
        began=rollout.began or now, evidence=marked(rollout.evidence),
    )  # fmt: skip
    due = now + strategy.steps[step].bake_s
    return _decision("advance", rollout, now, by, f"{why} The canary gets {weight} %.", readings, due)


def _pause(
    rollout: Rollout, now: float, by: str, pause: Pause, why: str, readings: tuple[Reading, ...] = ()
) -> Decision:
    return _decision("pause", replace(rollout, phase="paused", pause=pause), now, by, why, readings, pause.until)


def _resume(rollout: Rollout, now: float, by: str, why: str, readings: tuple[Reading, ...] = ()) -> Decision:
    phase = "baking" if rollout.step >= 0 else "starting"
    return _decision("resume", replace(rollout, phase=phase, pause=None), now, by, why, readings, now)


def _end(phase: str, rollout: Rollout, now: float, by: str, why: str, readings: tuple[Reading, ...] = ()) -> Decision:
    action: Action = "abort" if phase == "aborted" else "promote"
    weight = 0 if phase == "aborted" else 100
    rollout = replace(rollout, phase=phase, pause=None, weight=weight, since=now, ended_by=by, reason=why)
    return _decision(action, rollout, now, by, why, readings)


def _decision(
    action: Action, rollout: Rollout, now: float, by: str, why: str,
    readings: tuple[Reading, ...] = (), wake: float | None = None,
) -> Decision:  # fmt: skip
    return Decision(
        action=action, rollout=rollout, weight=rollout.weight, at=now, by=by, reason=why, evidence=readings, wake=wake
    )
