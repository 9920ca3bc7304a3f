"""Pipelines: what happens to a version on its ladder, and that it ends in a declared state whatever is seen."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from inferry.errors import Conflict
from inferry.policy.pipeline import act, decide
from inferry.types.pipeline import ENDED, Compared, Moved, Run, Seen, Smoked, Trialled
from inferry.types.project import Pipeline, Replay, Shadow, Stage

NOW = 1_000.0


def run_of(*stages, **more):
    pipeline = Pipeline(stages=stages or (Stage(endpoint="prod"),), **more)
    return Run(id="r", model="m", version=2, pipeline=pipeline, started=0.0, created_by="ci", since=0.0)


def test_a_version_without_a_trial_waits_and_one_that_failed_its_gates_ends():
    run = run_of()
    assert decide(run, Seen(), NOW).run == run
    ended = decide(run, Seen(trial=Trialled(passed=False, words="metrics: accuracy 0.7, at least 0.8.")), NOW).run
    assert (ended.phase, ended.reason) == ("failed", "The gates failed: metrics: accuracy 0.7, at least 0.8.")


def test_a_whole_ladder_of_two_stages():
    run = run_of(Stage(endpoint="staging"), Stage(endpoint="prod", strategy="default"), alias="champion")
    turn = decide(run, Seen(trial=Trialled(passed=True)), NOW)
    assert turn.run.phase == "queue"
    turn = decide(turn.run, Seen(), NOW)
    assert turn.run.phase == "deploy"
    assert decide(turn.run, Seen(serving=4), NOW).deed == "release"
    turn = decide(turn.run, Seen(serving=5, revision=5, share=100), NOW)
    assert (turn.run.phase, turn.run.revision) == ("move", 5)
    turn = decide(turn.run, Seen(serving=5, revision=5, share=100), NOW)
    assert turn.run.phase == "smoke"
    assert decide(turn.run, Seen(revision=5, share=100), NOW).deed == "smoke"
    turn = decide(turn.run, Seen(revision=5, share=100, smoked=Smoked(asked=10)), NOW)
    assert (turn.run.phase, turn.run.stage, turn.run.revision) == ("queue", 1, 0)
    turn = decide(decide(turn.run, Seen(), NOW).run, Seen(serving=1), NOW)
    assert (turn.deed, turn.run.before) == ("release", 1)
    turn = decide(turn.run, Seen(serving=1, revision=2, rollout=Moved()), NOW)
    assert turn.run.phase == "move"
    assert decide(turn.run, Seen(serving=1, revision=2, share=25, rollout=Moved()), NOW).run == turn.run
    turn = decide(turn.run, Seen(revision=2, share=100, rollout=Moved(ended="promoted")), NOW)
    turn = decide(turn.run, Seen(revision=2, share=100, smoked=Smoked(asked=10)), NOW)
    assert (turn.run.phase, decide(turn.run, Seen(), NOW).deed) == ("name", "name")
    turn = decide(turn.run, Seen(named=True), NOW)
    assert (turn.run.phase, turn.run.reason) == ("done", "It is m@champion, at the top of the ladder.")
    assert decide(turn.run, Seen(problem="late"), NOW).run == turn.run


def test_freeze_windows_and_other_runs_hold_a_stage():
    run = replace(run_of(), phase="queue")
    turn = decide(run, Seen(frozen_until=86_400.0), NOW)
    assert (turn.run.phase, turn.wake, turn.words) == ("queue", 86_400.0, "")
    assert turn.run.reason == "prod is frozen until 1970-01-02 00:00 UTC."
    assert decide(run, Seen(busy=1), NOW).run == run


def test_a_younger_version_takes_the_place_of_one_that_waits_but_not_of_one_at_work():
    for phase in ("queue", "approval"):
        assert decide(replace(run_of(), phase=phase), Seen(newer=3), NOW).run.phase == "superseded"
    assert decide(replace(run_of(), phase="deploy"), Seen(newer=3), NOW).run.phase == "deploy"


def test_approval_is_a_persons():
    run = replace(run_of(Stage(endpoint="prod", approve=True)), phase="queue")
    waiting = decide(run, Seen(), NOW).run
    assert waiting.phase == "approval"
    assert decide(waiting, Seen(), NOW).run == waiting
    turn = act(waiting, "approve", "ann", "looks good", NOW)
    assert (turn.run.phase, turn.run.approved_by, turn.words) == ("deploy", "ann", "ann approved prod: looks good")
    with pytest.raises(Conflict):
        act(turn.run, "approve", "ann", "", NOW)


def shadowed():
    return run_of(Stage(endpoint="prod", shadow=Shadow(time=60.0, compared=10, differing=5.0)))


def test_a_shadow_runs_without_traffic_and_moves_on_when_its_answers_agree():
    run = replace(shadowed(), phase="deploy")
    turn = decide(run, Seen(serving=1), NOW)
    assert (turn.deed, turn.run.before) == ("release-idle", 1)
    turn = decide(turn.run, Seen(serving=1, revision=2), NOW)
    assert (turn.run.phase, turn.deed) == ("shadow", "mirror")
    seen = Seen(serving=1, revision=2, mirrored=True, compared=Compared(compared=100, differing=5))
    assert decide(turn.run, seen, NOW + 59).run.phase == "shadow"
    turn = decide(turn.run, seen, NOW + 60)
    assert (turn.run.phase, turn.deed) == ("move", "unmirror")
    assert decide(turn.run, replace(seen, mirrored=False), NOW + 61).deed == "switch"


def test_a_replay_comes_before_the_shadow_and_may_end_the_run():
    stage = Stage(endpoint="prod", replay=Replay(compared=10, differing=5.0), shadow=Shadow(time=60.0))
    run = replace(run_of(stage), phase="deploy")
    assert decide(run, Seen(serving=1), NOW).deed == "release-idle"
    turn = decide(run, Seen(serving=1, revision=2), NOW)
    assert (turn.run.phase, turn.run.at_work) == ("replay", True)
    seen = Seen(serving=1, revision=2)
    assert decide(turn.run, seen, NOW).deed == "replay"
    for replayed, phase, words in (
        (Compared(compared=100, differing=5), "shadow", "The replay agreed: 100 answers compared."),
        (Compared(compared=100, differing=6), "back", "The replay's answers differ: 6 of 100 (6 %, at most 5 %)."),
        (Compared(compared=9), "back", "The replay compared 9 answers, fewer than 10."),
    ):
        ended = decide(turn.run, replace(seen, replayed=replayed), NOW)
        assert (ended.run.phase, ended.run.reason) == (phase, words)
    assert decide(turn.run, replace(seen, replayed=Compared(compared=10)), NOW).deed == "mirror"
    only = replace(run_of(Stage(endpoint="prod", replay=Replay(compared=1))), phase="replay", revision=2)
    assert decide(only, replace(seen, replayed=Compared(compared=1)), NOW).run.phase == "move"
    first = replace(run_of(stage), phase="deploy")
    assert decide(first, Seen(), NOW).deed == "release"
    assert decide(first, Seen(revision=1, serving=1, share=100), NOW).run.phase == "move"


@pytest.mark.parametrize(
    ("compared", "after", "words"),
    [
        (Compared(compared=100, differing=6), 60, "The shadow's answers differ: 6 of 100 (6 %, at most 5 %)."),
        (Compared(compared=9), 180, "The shadow compared 9 answers, fewer than 10."),
        (None, 180, "The shadow compared 0 answers, fewer than 10."),
    ],
)
def test_a_shadow_that_differs_or_sees_nothing_ends_the_run(compared, after, words):
    run = replace(shadowed(), phase="shadow", since=NOW, revision=2, before=1)
    seen = Seen(serving=1, revision=2, mirrored=True, compared=compared)
    turn = decide(run, seen, NOW + after)
    assert (turn.run.phase, turn.run.reason) == ("back", words)
    assert decide(turn.run, seen, NOW).deed == "unmirror"
    assert decide(turn.run, replace(seen, mirrored=False), NOW).run.phase == "failed"


def test_the_first_version_of_an_endpoint_needs_no_shadow_and_no_rollout():
    run = replace(run_of(Stage(endpoint="prod", strategy="default", shadow=Shadow(time=60.0))), phase="deploy")
    assert decide(run, Seen(), NOW).deed == "release"
    assert decide(run, Seen(revision=1, serving=1, share=100), NOW).run.phase == "move"


def test_a_failed_smoke_test_goes_back_to_what_served_before():
    run = replace(run_of(), phase="smoke", revision=2, before=1)
    seen = Seen(serving=2, revision=2, share=100, smoked=Smoked(asked=10, wrong="503"))
    turn = decide(run, seen, NOW)
    assert (turn.run.phase, decide(turn.run, seen, NOW).deed) == ("back", "go-back")
    turn = decide(turn.run, Seen(serving=1, revision=2), NOW)
    assert (turn.run.phase, turn.run.reason) == ("failed", "The smoke test failed: 503")


def test_what_a_person_promoted_stays():
    run = replace(run_of(), phase="smoke", revision=2, before=1)
    seen = Seen(revision=2, share=100, smoked=Smoked(wrong="503"), rollout=Moved(ended="promoted", person="ann"))
    turn = decide(run, seen, NOW)
    assert (turn.run.phase, turn.run.reason) == ("failed", "The smoke test failed: 503 ann promoted it, so it stays.")


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Seen(revision=2, serving=1, rollout=Moved(ended="aborted", words="errors.")), "The rollout was aborted: errors."),
        (Seen(serving=1), "Revision 2 of prod was taken away."),
        (Seen(serving=1, revision=2, share=30), "The traffic of prod was shared out another way."),
        (Seen(problem="No memory."), "No memory."),
    ],
)  # fmt: skip
def test_a_move_that_cannot_be_finished_fails_in_words(seen, words):
    run = replace(run_of(), phase="move", revision=2, before=1)
    turn = decide(run, seen, NOW)
    assert (turn.run.phase, turn.run.reason) == ("back", words)


def test_a_canceled_run_undoes_what_it_did():
    waiting = replace(run_of(), phase="queue")
    assert act(waiting, "cancel", "ann", "", NOW).run.phase == "canceled"
    turn = act(replace(run_of(), phase="move", revision=2, before=1), "cancel", "ann", "wrong data", NOW)
    assert turn.run.phase == "back"
    assert decide(turn.run, Seen(revision=2, share=25, serving=1, rollout=Moved()), NOW).deed == "go-back"
    turn = decide(turn.run, Seen(revision=2, serving=1, rollout=Moved(ended="aborted")), NOW)
    assert (turn.run.phase, turn.run.ended_by, turn.run.reason) == ("canceled", "ann", "ann canceled it: wrong data")
    with pytest.raises(Conflict):
        act(turn.run, "cancel", "ann", "", NOW)


class Ladder(RuleBasedStateMachine):
    """A run on a model of an endpoint. Deeds may be lost (control died) and done twice."""

    def __init__(self):
        super().__init__()
        self.run = run_of(
            Stage(endpoint="staging"),
            Stage(
                endpoint="prod", strategy="default", shadow=Shadow(time=5.0, compared=1), approve=True, replay=Replay()
            ),
            alias="champion",
        )
        self.now = 0.0
        self.places = {"staging": [1, None, 100], "prod": [1, None, 100]}  # serving, ours, share of serving
        self.mirrored, self.rollout, self.named, self.trial = False, None, False, None
        self.smoked = self.replayed = self.problem = None
        self.releases = {"staging": 0, "prod": 0}

    def seen(self):
        serving, ours, share = self.places[self.run.endpoint]
        return Seen(
            trial=self.trial, serving=serving or 0, revision=ours or 0, mirrored=self.mirrored, rollout=self.rollout,
            share=(share if ours == serving else 100 - share) if ours else 0, compared=Compared(compared=5),
            smoked=self.smoked, replayed=self.replayed, named=self.named, problem=self.problem or "",
        )  # fmt: skip

    @precondition(lambda self: not self.run.ended)
    @rule(dies=st.booleans())
    def look(self, dies):
        before = self.run
        turn = decide(self.run, self.seen(), self.now)
        assert decide(self.run, self.seen(), self.now) == turn
        self.run, self.problem = turn.run, None
        if before.stage != self.run.stage:
            self.rollout = self.smoked = self.replayed = None
        if turn.deed and not dies:
            self.do(turn.deed)

    def do(self, deed):
        place = self.places[self.run.endpoint]
        match deed:
            case "release" | "release-idle":
                assert place[1] is None, "a version is released once"
                self.releases[self.run.endpoint] += 1
                place[1] = 2
                if deed == "release" and self.run.endpoint == "staging":
                    place[0] = 2
            case "mirror":
                self.mirrored = True
            case "unmirror":
                self.mirrored = False
            case "roll-out":
                assert self.rollout is None
                self.rollout = Moved()
            case "switch":
                place[0] = 2
            case "replay":
                self.replayed = Compared(compared=20)
            case "smoke":
                self.smoked = Smoked(asked=10)
            case "go-back":
                place[0], place[2] = 1, 100
                if self.rollout and not self.rollout.ended:
                    self.rollout = Moved(ended="aborted")
            case "name":
                self.named = True

    @precondition(lambda self: self.run.phase == "gates")
    @rule(passed=st.booleans())
    def judge(self, passed):
        self.trial = Trialled(passed=passed)

    @precondition(lambda self: self.run.phase == "approval")
    @rule()
    def approve(self):
        self.run = act(self.run, "approve", "ann", "", self.now).run

    @precondition(lambda self: not self.run.ended)
    @rule()
    def cancel(self):
        self.run = act(self.run, "cancel", "ann", "", self.now).run

    @precondition(lambda self: self.rollout is not None and not self.rollout.ended)
    @rule(good=st.booleans())
    def roll(self, good):
        self.rollout = Moved(ended="promoted" if good else "aborted")
        self.places["prod"] = [2 if good else 1, 2, 100]

    @rule()
    def time_goes_on(self):
        self.now += 10.0

    @precondition(lambda self: self.smoked is not None)
    @rule()
    def smoke_fails(self):
        self.smoked = Smoked(asked=10, wrong="503")

    @precondition(lambda self: self.run.at_work)
    @rule()
    def deed_fails(self):
        self.problem = "It did not work."

    @invariant()
    def nothing_is_doubled_and_the_end_is_clean(self):
        assert max(self.releases.values()) <= 1
        if not self.run.ended:
            return
        assert self.run.phase in ENDED
        if self.run.phase == "done":
            assert self.named
            assert self.places["prod"][0] == 2


TestLadder = Ladder.TestCase
TestLadder.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
