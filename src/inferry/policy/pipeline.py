"""Pipeline: what happens next to a version on its ladder. Pure: the time, the state and what is seen are given.

Data flow: (run, seen, now) -> `decide` -> a Turn: the next state and what to do. (run, wish, now) -> `act`.

A run goes through its gates once; then, for each stage: queue (freeze windows, other runs of the model), approval,
deploy, replay, shadow, move, smoke. A younger version that has passed its gates takes the place of one that only
waits. A stage that fails goes back to the revision that served before; a person's rollout is never overridden.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from msgspec.structs import replace

from inferry.errors import Conflict
from inferry.types.pipeline import Deed, Run, RunPhase, Seen, Turn
from inferry.types.project import Stage

POLICY = "policy"
"""Who decided, when no person did."""
PATIENCE = 3.0
"""A shadow without answers enough is waited for so many times its time."""

Act = Literal["approve", "cancel"]


def decide(run: Run, seen: Seen, now: float) -> Turn:
    """What happens now. Decides the same for the same arguments, however often it is asked."""
    if run.ended:
        return Turn(run=run)
    if seen.problem and run.phase == "back":
        return _end(run, run.ending, now, f"{run.reason} Going back failed: {seen.problem}")
    if seen.problem and run.phase != "gates":
        return _fail(run, now, seen.problem)
    steps: dict[RunPhase, Callable[[Run, Seen, float], Turn]] = {
        "gates": _gates, "queue": _queue, "approval": _approval, "deploy": _deploy, "replay": _replay,
        "shadow": _shadow, "move": _move, "smoke": _smoke, "name": _name, "back": _back,
    }  # fmt: skip
    return steps[run.phase](run, seen, now)


def act(run: Run, wish: Act, by: str, reason: str, now: float) -> Turn:
    """What a person wants. Raises Conflict when the run has ended, or waits for no approval."""
    if run.ended:
        raise Conflict(f"The run has ended: {run.reason}", help="Push again, or deploy the version by hand.")
    said = f": {reason}" if reason else "."
    if wish == "cancel":
        phase: RunPhase = "back" if run.at_work else "canceled"
        ended = replace(run, ending="canceled", ended_by=by)
        return _enter(ended, phase, now, f"{by} canceled it{said}")
    if run.phase != "approval":
        raise Conflict("The run does not wait for approval.", help="See how it stands: inferry pipeline status MODEL")
    return _enter(replace(run, approved_by=by), "deploy", now, f"{by} approved {run.endpoint}{said}")


def _gates(run: Run, seen: Seen, now: float) -> Turn:
    if not run.pipeline.gates:
        return _enter(run, "queue", now, "No gates are asked for.")
    if seen.trial is None:
        return _superseded(run, seen, now) or Turn(run=run)
    if not seen.trial.passed:
        return _end(run, "failed", now, f"The gates failed: {seen.trial.words}".strip())
    return _enter(run, "queue", now, f"The gates passed. {seen.trial.words}".strip())


def _queue(run: Run, seen: Seen, now: float) -> Turn:
    replaced = _superseded(run, seen, now)
    if replaced:
        return replaced
    if seen.busy:
        return Turn(run=run)
    if seen.frozen_until is not None:
        return Turn(
            run=_because(run, f"{run.endpoint} is frozen until {_utc(seen.frozen_until)}."), wake=seen.frozen_until
        )
    if _stage(run).approve and not run.approved_by:
        return _enter(run, "approval", now, f"{run.endpoint} waits for approval.")
    return _enter(run, "deploy", now, f"On to {run.endpoint}.")


def _approval(run: Run, seen: Seen, now: float) -> Turn:
    return _superseded(run, seen, now) or Turn(run=run)


def _deploy(run: Run, seen: Seen, now: float) -> Turn:
    if not run.before and seen.serving and seen.serving != seen.revision:
        run = replace(run, before=seen.serving)
    if not seen.revision:
        idle = (_stage(run).shadow is not None or _stage(run).replay is not None) and seen.serving
        return Turn(run=run, deed="release-idle" if idle else "release")
    run = replace(run, revision=seen.revision)
    words = f"It is revision {seen.revision} of {run.endpoint}."
    if seen.share or not seen.serving:
        return _enter(run, "move", now, words)
    return _enter(run, "replay", now, words) if _stage(run).replay is not None else _onwards(run, now, words)


def _onwards(run: Run, now: float, words: str) -> Turn:
    """To the shadow, where there is one, or to the traffic."""
    if _stage(run).shadow is None:
        return _enter(run, "move", now, words)
    return _with(_enter(run, "shadow", now, words), "mirror")


def _replay(run: Run, seen: Seen, now: float) -> Turn:
    replay = _stage(run).replay
    assert replay is not None
    if seen.replayed is None:
        return Turn(run=run, deed="replay")
    compared = seen.replayed.compared
    if compared < replay.compared:
        return _fail(run, now, f"The replay compared {compared} answers, fewer than {replay.compared}.")
    wrong = _differs("replay", replay.differing, compared, seen.replayed.differing)
    return _fail(run, now, wrong) if wrong else _onwards(run, now, f"The replay agreed: {compared} answers compared.")


def _shadow(run: Run, seen: Seen, now: float) -> Turn:
    shadow = _stage(run).shadow
    assert shadow is not None
    if not seen.mirrored:
        return Turn(run=run, deed="mirror")
    compared = seen.compared.compared if seen.compared else 0
    if now < run.since + shadow.time:
        return Turn(run=run, wake=run.since + shadow.time)
    if compared < shadow.compared:
        due = run.since + PATIENCE * shadow.time
        if now < due:
            return Turn(run=run, wake=due)
        return _fail(run, now, f"The shadow compared {compared} answers, fewer than {shadow.compared}.")
    wrong = _differs("shadow", shadow.differing, compared, seen.compared.differing if seen.compared else 0)
    if wrong:
        return _fail(run, now, wrong)
    words = f"The shadow agreed: {compared} answers compared."
    return _with(_enter(run, "move", now, words), "unmirror")


def _differs(what: str, most: float, compared: int, differing: int) -> str:
    share = 100 * differing / compared
    if share <= most:
        return ""
    return f"The {what}'s answers differ: {differing} of {compared} ({share:.3g} %, at most {most:g} %)."


def _move(run: Run, seen: Seen, now: float) -> Turn:
    if seen.mirrored:
        return Turn(run=run, deed="unmirror")
    if seen.share == 100:
        return _enter(run, "smoke", now, f"It has all traffic of {run.endpoint}.")
    lost = _lost(run, seen)
    if lost:
        return _fail(run, now, lost)
    if seen.rollout is not None:
        return Turn(run=run)
    return Turn(run=run, deed="roll-out" if _stage(run).strategy and seen.serving else "switch")


def _lost(run: Run, seen: Seen) -> str:
    """Why the version cannot get the traffic any more, "" while it can."""
    if seen.rollout is not None:
        return f"The rollout was aborted: {seen.rollout.words}" if seen.rollout.ended == "aborted" else ""
    if not seen.revision:
        return f"Revision {run.revision} of {run.endpoint} was taken away."
    return f"The traffic of {run.endpoint} was shared out another way." if seen.share else ""


def _smoke(run: Run, seen: Seen, now: float) -> Turn:
    if seen.share != 100:
        return _fail(run, now, f"{run.endpoint} no longer serves it.")
    asked = _stage(run).smoke
    if asked and seen.smoked is None:
        return Turn(run=run, deed="smoke")
    if seen.smoked is not None and seen.smoked.wrong:
        why = f"The smoke test failed: {seen.smoked.wrong}"
        if seen.rollout is not None and seen.rollout.person:
            return _end(run, "failed", now, f"{why} {seen.rollout.person} promoted it, so it stays.")
        return _fail(run, now, why)
    return _passed(run, now, f"{asked} smoke requests were answered." if asked else f"{run.endpoint} serves it.")


def _passed(run: Run, now: float, words: str) -> Turn:
    """The stage is through: the next one, or the end of the ladder."""
    if run.stage + 1 < len(run.pipeline.stages):
        following = replace(run, stage=run.stage + 1, revision=0, before=0, approved_by="")
        return _enter(following, "queue", now, words)
    if run.pipeline.alias:
        return _enter(run, "name", now, words)
    return _end(run, "done", now, f"{words} It is at the top of the ladder.")


def _name(run: Run, seen: Seen, now: float) -> Turn:
    if not seen.named:
        return Turn(run=run, deed="name")
    return _end(run, "done", now, f"It is {run.model}@{run.pipeline.alias}, at the top of the ladder.")


def _back(run: Run, seen: Seen, now: float) -> Turn:
    """Undo what this stage has done to its endpoint, as far as that still stands."""
    if seen.mirrored:
        return Turn(run=run, deed="unmirror")
    rolling = seen.rollout is not None and not seen.rollout.ended
    if rolling or (seen.share and run.before and seen.revision == run.revision):
        return Turn(run=run, deed="go-back")
    return _end(run, run.ending, now, run.reason)


def _superseded(run: Run, seen: Seen, now: float) -> Turn | None:
    if not seen.newer:
        return None
    return _end(run, "superseded", now, f"{run.model}:{seen.newer} has passed its gates and goes instead.")


def _fail(run: Run, now: float, why: str) -> Turn:
    """The run ends; what its stage has done is undone first."""
    if run.phase == "back" or not run.at_work:
        return _end(run, "failed", now, why)
    return _enter(run, "back", now, why)


def _stage(run: Run) -> Stage:
    return run.pipeline.stages[run.stage]


def _enter(run: Run, phase: RunPhase, now: float, words: str) -> Turn:
    return Turn(run=replace(run, phase=phase, since=now, reason=words), words=words)


def _end(run: Run, phase: RunPhase, now: float, words: str) -> Turn:
    return Turn(run=replace(run, phase=phase, since=now, ended_by=run.ended_by or POLICY, reason=words), words=words)


def _because(run: Run, reason: str) -> Run:
    return run if run.reason == reason else replace(run, reason=reason)


def _with(turn: Turn, deed: Deed) -> Turn:
    return replace(turn, deed=deed)


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
