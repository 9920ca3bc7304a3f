"""Scale: how many replicas a revision should have now. Pure.

Two windows, as Knative's autoscaler has them: a minute for what is usual, six seconds for what just began. The
number goes up at once. When the short window asks for twice of what there is, the largest number that was asked for
stays until a minute has passed without such a surge. It goes down by at most half, and only to what was enough for
`down_delay_s`; to zero when nobody asked for `idle_timeout_s`, or for as long as `policy.idle` chooses.

Two measures, and the larger counts: requests at replicas against `target_concurrency`, and requests a second times the
measured time of one, with replicas busy for 70 % of the time. With `target_latency_s` there is one: so many that 95 %
of the answers stay within it, by `policy.latency` and what is observed. Requests that wait for a first replica count by
the work that they are: more replicas would not make the first one start sooner.

Going down may have been wrong: with fewer replicas, requests wait longer, and more of them are there at a time. When
a number that went down has to go up again soon, it stays longer the next time: `caution` doubles the delay, and going
up late halves it. `patience` does the same for the time until zero.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from msgspec.structs import replace

from inferry.policy import idle, latency
from inferry.policy.idle import Keep, Pauses
from inferry.policy.latency import Strain
from inferry.policy.schedule import NOTHING, Said
from inferry.types.scaling import AUTO, Figures, Scaling, Snapshot
from inferry.types.units import time_text

STABLE_S = 60.0
RECENT_S = 6.0
SURGE_S = 2.0
LOOK_S = 1.0
"""How often one decides; marks that lie closer are not kept."""
STEP_S = 10.0
PANIC = 2.0
BUSY = 0.7
DRAIN_S = 2.0
"""In what time those who wait should be answered, once there is a replica."""
CATCH_UP_S = 0.5
"""In what time those should be answered who wait at replicas."""
MOST_PATIENCE = 8
SOON = 2.0
"""Going up again within so many delays is a regret."""
NEVER = float("-inf")


class Mark(NamedTuple):
    """What had been counted at one moment."""

    at: float
    busy_s: float
    arrived: int
    answered: int = 0
    late: float = 0.0


class State(NamedTuple):
    """What is remembered between decisions. `wants`: what was wanted when, as far as no more was wanted later; `peak`:
    the most since the surge at `panic_at`; `used`: when a request was last seen; `stepped`: when it last went down;
    `zeroed`: when it went to zero; `pauses`: between requests, for an idle timeout that is chosen; `strain`: for how
    many times the requests one plans; `unready`: when there was last no replica."""

    replicas: int
    used: float
    wants: tuple[tuple[float, int], ...]
    marks: tuple[Mark, ...] = ()
    service_s: float = 0.0
    panic_at: float = NEVER
    peak: int = 0
    stepped: float = NEVER
    zeroed: float = NEVER
    patience: int = 1
    caution: int = 1
    pauses: Pauses = Pauses()
    strain: Strain = Strain()
    unready: float = NEVER


class Decision(NamedTuple):
    """So many replicas, and why."""

    replicas: int
    reason: str
    state: State
    figures: Figures


def begin(scaling: Scaling, replicas: int, now: float) -> State:
    """Of a revision that is first looked at, with so many replicas."""
    count = max(scaling.min_replicas, min(scaling.max_replicas, replicas))
    return State(replicas=count, used=now, wants=((now, count),))


def roused(state: State, scaling: Scaling, now: float) -> State:
    """Somebody wants a replica ahead of requests."""
    count = min(scaling.max_replicas, max(1, state.replicas))
    return state._replace(replicas=count, used=now, wants=(*state.wants, (now, count)))


def lowered_to(state: State, replicas: int, now: float) -> State:
    """It has to do with fewer, for a reason that is not its own: nothing is learnt from it."""
    return state._replace(replicas=replicas, wants=((now, replicas),), panic_at=NEVER, peak=0, zeroed=NEVER)


def decide(snapshot: Snapshot, scaling: Scaling, state: State, now: float, said: Said = NOTHING) -> Decision:
    """The number of replicas from now on. `scaling`: as it holds now, `said`: why its limits are what they are."""
    last = state.marks[-1] if state.marks else None
    came = last is not None and snapshot.arrived > last.arrived
    active = came or snapshot.waiting > 0 or snapshot.in_flight > 0
    state = state._replace(
        used=now if active else state.used,
        marks=marked(state.marks, snapshot, now),
        service_s=smooth(state.service_s, snapshot.service_s),
        pauses=pauses_of(snapshot, state, now, active=active),
        unready=state.unready if snapshot.ready else now,
    )
    figures = measured(snapshot, state, now)
    if scaling.target_latency_s:
        state = watched(figures, state, now)
        figures = replace(figures, strain=state.strain.factor)
    usual, recent, surge = needs(figures, scaling)
    panic_at = now if surge.replicas >= PANIC * max(1, state.replicas) else state.panic_at
    panic = now - panic_at < STABLE_S
    most = max(usual, recent, surge) if panic else max(usual, recent)
    want = max(most.replicas, state.peak) if panic else most.replicas
    why = most.why if want == most.replicas else f"{want} were needed in the surge that is not a minute over"
    peak = min(want, scaling.max_replicas) if panic else 0
    state = state._replace(panic_at=panic_at, peak=peak)
    keep = keeping(scaling, state, snapshot.cold_start_s)
    figures = replace(figures, panic=panic, keep_s=keep.seconds, keep_why=keep.why)
    rests = now - state.used >= keep.seconds
    if not rests and (active or want):
        want += scaling.buffer_replicas
    if want > scaling.max_replicas:
        want, why = scaling.max_replicas, f"{why}; at most {scaling.max_replicas}{said.most}"
    if state.replicas > scaling.max_replicas:  # the limit itself went down
        count = scaling.max_replicas
        state = state._replace(replicas=count, stepped=now, wants=(*state.wants, (now, want)))
        return Decision(count, f"at most {count}{said.most}", state, figures)
    if state.replicas == 0 and scaling.min_replicas == 0:
        return woken(want, why, figures, scaling, state, now) if active else Decision(0, "nobody asks", state, figures)
    if rests and scaling.min_replicas == 0:
        state = state._replace(replicas=0, zeroed=now, wants=((now, 0),), panic_at=NEVER, peak=0)
        why = f": {keep.why}" if keep.why else ""
        return Decision(0, f"nobody asked for {time_text(keep.seconds)}{why}", state, figures)
    floor = max(1, scaling.min_replicas)
    if want < scaling.min_replicas and said.least:
        want, why = floor, f"at least {floor}{said.least}"
    elif want <= floor:
        want, why = floor, f"{floor} {'is' if floor == 1 else 'are'} enough"
    delay_s = scaling.down_delay_s * state.caution
    wants = tuple((at, count) for at, count in state.wants if now - at <= delay_s and count > want)
    state = state._replace(wants=(*wants, (now, want)))
    if want > state.replicas:
        caution = doubled(state.caution, soon=now - state.stepped < SOON * delay_s)
        return Decision(want, why, state._replace(replicas=want, caution=caution), figures)
    if want == state.replicas:
        return Decision(want, why, state, figures)
    return lowered(want, figures, scaling, state, now)


def watched(figures: Figures, state: State, now: float) -> State:
    """What late answers say, unless they waited for a first replica or for those that were wanted to start."""
    if now - state.unready <= RECENT_S or figures.ready < state.replicas:
        return state
    return state._replace(strain=latency.strained(state.strain, figures.answered, figures.late, RECENT_S, now))


def pauses_of(snapshot: Snapshot, state: State, now: float, *, active: bool) -> Pauses:
    """What is known of the pauses, now that somebody asks or not."""
    known = idle.counted(state.pauses, snapshot.cold_start_s, now, snapshot.arrived)
    return idle.noted(known, now - state.used, now, snapshot.arrived) if active else known


def keeping(scaling: Scaling, state: State, cold_start_s: float) -> Keep:
    """How long a last replica stays without a request."""
    if scaling.idle_timeout_s == AUTO:
        return idle.choose(state.pauses, cold_start_s, scaling.wait_price)
    return Keep(scaling.idle_timeout_s * state.patience, "")


def woken(want: int, why: str, figures: Figures, scaling: Scaling, state: State, now: float) -> Decision:
    """Up from zero: somebody asks."""
    count = max(1, want)
    reason = f"nothing runs, and {figures.waiting} wait" if count == 1 else f"nothing runs: {why}"
    patience = doubled(state.patience, soon=now - state.zeroed < scaling.idle_timeout_s)
    state = state._replace(replicas=count, wants=((now, count),), patience=patience)
    return Decision(count, reason, state, figures)


def lowered(want: int, figures: Figures, scaling: Scaling, state: State, now: float) -> Decision:
    """Down, when that has been enough for long enough."""
    has, delay = state.replicas, time_text(scaling.down_delay_s * state.caution)
    if figures.panic:
        rest = time_text(STABLE_S - (now - state.panic_at))
        return Decision(has, f"{want} would do, but a surge is not over (for {rest} more)", state, figures)
    enough = max(count for _, count in state.wants)
    if enough >= has:
        return Decision(has, f"{want} would do, but {enough} were needed in the last {delay}", state, figures)
    if now - state.stepped < min(STEP_S, scaling.down_delay_s):
        return Decision(has, f"{enough} would do, but it has just gone down", state, figures)
    count = max(enough, (has + 1) // 2)
    reason = f"{enough} would have done for {delay}" + ("" if count == enough else "; down by half at a time")
    return Decision(count, reason, state._replace(replicas=count, stepped=now), figures)


class Need(NamedTuple):
    """So many replicas by one window, and why."""

    replicas: int
    why: str


def needs(figures: Figures, scaling: Scaling) -> tuple[Need, Need, Need]:
    """By the long window, by the short one, and by what came in this moment."""
    backlog = max(0.0, figures.waiting - figures.surge_rate * SURGE_S)
    if not figures.ready:
        backlog += figures.surge_rate * figures.cold_start_s
    usual = need(figures.usual, figures.usual_rate, STABLE_S, figures, scaling)
    if calm(figures, scaling):
        return usual, Need(0, ""), Need(0, "")
    return (
        usual,
        need(drained(figures, scaling), figures.recent_rate, RECENT_S, figures, scaling),
        need(0.0, figures.surge_rate + backlog / DRAIN_S, SURGE_S, figures, scaling),
    )


def drained(figures: Figures, scaling: Scaling) -> float:
    """Requests at replicas over the short window, without those that only wait for replicas that are starting: no more
    than the replicas would have that answer what comes and, within CATCH_UP_S, all who are there."""
    if not figures.service_s:
        return figures.recent
    present = figures.waiting + figures.in_flight
    enough = (max(figures.recent_rate, figures.surge_rate) + present / CATCH_UP_S) * figures.service_s / BUSY
    return min(figures.recent, ceil(enough) * scaling.target_concurrency)


def calm(figures: Figures, scaling: Scaling) -> bool:
    """Whether a rush may be waited out: who comes now waits for less than half of the target latency, few were late,
    and a replica would be there within the target once that changes."""
    target_s = scaling.target_latency_s
    if not (figures.ready and 0 < figures.cold_start_s <= target_s / 2):
        return False
    waits_s = (figures.waiting + figures.in_flight) * figures.service_s / figures.ready
    few = figures.late <= latency.LATE * max(latency.COUNTED, figures.answered)
    return few and waits_s <= target_s / 2


def need(mean: float, rate: float, window: float, figures: Figures, scaling: Scaling) -> Need:
    """Replicas for so many requests at a time, or so many a second."""
    if scaling.target_latency_s and window != SURGE_S:
        return within(rate, window, figures, scaling)
    by_mean, by_rate = mean / scaling.target_concurrency, rate * figures.service_s / BUSY
    if by_rate > by_mean:
        words = f"{rate:.3g} requests a second of {time_text(figures.service_s)} each"
        return Need(ceil(by_rate), f"{words} (over {window:g} s)")
    words = f"{mean:.3g} requests at a time, {scaling.target_concurrency:g} for each replica"
    return Need(ceil(by_mean), f"{words} (over {window:g} s)")


def within(rate: float, window: float, figures: Figures, scaling: Scaling) -> Need:
    """Replicas that leave 95 % of so many requests a second within the target."""
    target_s, service_s = scaling.target_latency_s, figures.service_s
    count = latency.replicas_for(rate * figures.strain, service_s, target_s, scaling.max_replicas + 1)
    words = f"{rate:.3g} requests a second of {time_text(service_s)} each, 95 % within {time_text(target_s)}"
    if service_s >= target_s:
        words += ", which one alone takes"
    if figures.strain > 1:
        words += f", planned as for {figures.strain:.2g} times as many because more were late"
    return Need(count, f"{words} (over {window:g} s)")


def measured(snapshot: Snapshot, state: State, now: float) -> Figures:
    """What the windows hold."""
    usual, recent, surge = (since(state.marks, now - window) for window in (STABLE_S, RECENT_S, SURGE_S))
    woke_s = min(SURGE_S, max(LOOK_S, now - state.unready)) if snapshot.ready else SURGE_S
    return Figures(
        usual=max(0.0, snapshot.busy_s - usual.busy_s) / STABLE_S,
        recent=max(0.0, snapshot.busy_s - recent.busy_s) / RECENT_S,
        usual_rate=(snapshot.arrived - usual.arrived) / STABLE_S,
        recent_rate=(snapshot.arrived - recent.arrived) / RECENT_S,
        surge_rate=(snapshot.arrived - surge.arrived) / woke_s,
        service_s=state.service_s,
        cold_start_s=snapshot.cold_start_s,
        waiting=snapshot.waiting,
        in_flight=snapshot.in_flight,
        ready=snapshot.ready,
        idle_s=now - state.used,
        answered=max(0, snapshot.answered - recent.answered),
        late=max(0.0, snapshot.late - recent.late),
    )


def since(marks: tuple[Mark, ...], start: float) -> Mark:
    """The last mark up to a moment, else the first: what was before it is not known."""
    found = marks[0]
    for mark in marks:
        if mark.at > start:
            break
        found = mark
    return found


def marked(marks: tuple[Mark, ...], snapshot: Snapshot, now: float) -> tuple[Mark, ...]:
    """The marks with this moment; of those older than all windows, the last."""
    if marks and now - marks[-1].at < LOOK_S / 2:
        return marks
    oldest = since(marks, now - STABLE_S).at if marks else now
    return (
        *(mark for mark in marks if mark.at >= oldest),
        Mark(now, snapshot.busy_s, snapshot.arrived, snapshot.answered, snapshot.late),
    )


def doubled(patience: int, *, soon: bool) -> int:
    """What a regret makes of it, and what a change that was right makes of it."""
    return min(MOST_PATIENCE, patience * 2) if soon else max(1, patience // 2)


def smooth(before: float, measured: float) -> float:
    """The time of one request, without the jumps of one measure."""
    if not measured:
        return before
    return (before + measured) / 2 if before else measured
