"""Rollouts: who may do what when, whatever comes in which order."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inferry.errors import Conflict, InvalidInput
from inferry.policy.rollout import act, begin, decide
from inferry.policy.strategy import DEFAULT_STRATEGY, check_strategy
from inferry.types.analysis import (
    Arm,
    Crashes,
    Errors,
    Feedback,
    Finding,
    Findings,
    Health,
    Latency,
    Memory,
    Moments,
    Observation,
    Query,
    Scores,
    Shadow,
    Window,
)
from inferry.types.rollout import POLICY, Act, Rollout, Step, Strategy

BOUNDS = (0.01, 0.02, 0.04, 0.08)
READY = Health(ready=True)
STEPS = (Step(weight=10, bake_s=30), Step(weight=50, bake_s=30))
ERRORS = Strategy(steps=STEPS, checks=(Errors(enough=10),), patience_s=60)


NONE = Arm()


def plain(number, canary):
    return Window(start=number * 5.0, end=number * 5.0 + 5, canary=canary, stable=Arm(requests=100))


def seen(*windows, health=READY):
    return Observation(windows=windows, latency_bounds=BOUNDS, health=health)


class Drive:
    """A rollout with a clock; each window is looked at, and the state passes through JSON."""

    def __init__(self, strategy):
        self.strategy, self.now, self.rollout, self.decisions = strategy, 0.0, begin("r", "fraud", 1, 2, 0.0), []

    def take(self, decision):
        self.rollout = msgspec.json.decode(msgspec.json.encode(decision.rollout), type=Rollout)
        self.decisions.append(decision)
        return decision

    def look(self, times=1, health=READY, **arms):
        for _ in range(times):
            windows = (Window(start=self.now, end=self.now + 5, **arms),) if arms else ()
            self.now += 5
            self.take(decide(self.rollout, self.strategy, seen(*windows, health=health), self.now))
        return self.decisions[-1]

    def act(self, kind, by="ann", **said):
        return self.take(act(self.rollout, self.strategy, Act(kind=kind, by=by, **said), self.now))

    def actions(self):
        return [decision.action for decision in self.decisions if decision.action != "wait"]


GOOD = {"stable": Arm(requests=100), "canary": Arm(requests=20)}
BAD = {"stable": Arm(requests=100), "canary": Arm(requests=20, errors=10)}


def test_a_good_canary_goes_step_by_step_to_all_traffic():
    drive = Drive(ERRORS)
    drive.look(30, **GOOD)
    assert drive.actions() == ["advance", "advance", "promote"]
    assert [d.weight for d in drive.decisions if d.action != "wait"] == [10, 50, 100]
    assert drive.rollout.phase == "promoted"
    assert drive.rollout.ended_by == POLICY
    advance = [d for d in drive.decisions if d.action == "advance"][1]
    assert advance.at == 35.0
    assert "0 % of 140 requests failed" in advance.evidence[0].words


def test_a_failing_canary_is_aborted_with_the_numbers_that_say_so():
    drive = Drive(ERRORS)
    drive.look(4, **GOOD)
    drive.look(10, **BAD)
    assert drive.actions() == ["advance", "abort"]
    last = next(d for d in drive.decisions if d.action == "abort")
    assert (last.weight, last.rollout.phase, last.by) == (0, "aborted", POLICY)
    reading = last.evidence[0]
    assert reading.verdict == "fail"
    assert reading.p <= reading.alpha == 0.01
    assert reading.canary > 0.2
    assert reading.stable == 0
    assert reading.words in last.reason
    assert last.at <= 45


def test_what_fails_on_both_is_not_the_canarys_fault():
    drive = Drive(ERRORS)
    drive.look(30, stable=Arm(requests=100, errors=50), canary=Arm(requests=20, errors=10))
    assert drive.rollout.phase == "promoted"


def test_a_crash_on_load_aborts_at_once():
    drive = Drive(ERRORS)
    decision = drive.look(health=Health(failed="no module named torch"))
    assert (decision.action, decision.weight) == ("abort", 0)
    assert "no module named torch" in decision.reason


def test_a_canary_that_never_gets_ready_is_aborted_after_its_time():
    drive = Drive(ERRORS)
    drive.look(119, health=Health())
    assert drive.rollout.phase == "starting"
    assert drive.look(health=Health()).action == "abort"


def test_missing_data_never_aborts_and_pauses_as_inconclusive_until_there_are_some():
    drive = Drive(ERRORS)
    drive.look(200)
    assert drive.actions() == ["advance", "pause"]
    assert drive.rollout.pause.kind == "inconclusive"
    assert "errors (missing): no data" in drive.rollout.pause.reason
    drive.look(20, health=None)
    assert drive.rollout.phase == "paused"
    drive.look(60, **GOOD)
    assert drive.actions() == ["advance", "pause", "resume", "advance", "promote"]


def test_a_person_can_decide_what_the_data_cannot():
    drive = Drive(ERRORS)
    drive.look(200)
    decision = drive.act("resume", reason="night traffic")
    assert (decision.action, decision.weight, decision.by) == ("advance", 50, "ann")
    assert "night traffic" in decision.reason


def test_the_samples_of_a_step_before_do_not_let_the_next_one_pass():
    drive = Drive(Strategy(steps=STEPS, checks=(Errors(enough=30),), patience_s=60))
    drive.look(8, **GOOD)
    assert drive.rollout.step == 1
    drive.look(40, stable=Arm(requests=100), canary=Arm())
    assert drive.actions() == ["advance", "advance", "pause"]
    assert "few" in drive.rollout.pause.reason


def test_a_suspect_canary_does_not_advance():
    drive = Drive(Strategy(steps=STEPS, checks=(Query(query="refunds", at_most=5, in_a_row=100),), patience_s=60))
    drive.look(30, canary=Arm(values={"refunds": 9}))
    assert drive.rollout.step == 0
    assert drive.rollout.pause.kind == "inconclusive"
    drive.look(1, canary=Arm(values={"refunds": 3}))
    assert drive.decisions[-1].action == "resume"


def test_answers_that_fall_otherwise_do_not_pass_the_last_step_even_before_that_is_proven():
    drive = Drive(Strategy(steps=(Step(weight=50, bake_s=10),), checks=(Scores(enough=1),), patience_s=10))
    drive.look(1)
    drive.look(3, canary=Arm(scores=(5, 15)), stable=Arm(scores=(8, 12)))
    assert drive.decisions[-1].evidence[0].verdict == "suspect"
    drive.look(3, canary=Arm(scores=(80, 120)), stable=Arm(scores=(80, 120)))
    assert drive.rollout.phase == "promoted"


def test_a_step_can_wait_for_approval():
    drive = Drive(Strategy(steps=(Step(weight=10, bake_s=10, approve=True), Step(weight=50, bake_s=10)), checks=()))
    drive.look(50)
    assert drive.rollout.pause.kind == "approval"
    drive.act("resume")
    assert drive.rollout.weight == 50
    drive.look(3)
    assert drive.actions() == ["advance", "pause", "advance", "promote"]


def test_a_step_can_hold_for_a_time():
    drive = Drive(Strategy(steps=(Step(weight=10, bake_s=10, pause_s=60),), checks=()))
    drive.look(4)
    assert drive.rollout.pause.until == drive.now - 5 + 60
    assert drive.decisions[-1].wake == drive.rollout.pause.until
    drive.look(20)
    assert [d.at for d in drive.decisions if d.action == "promote"] == [75.0]


def test_a_persons_pause_stays_until_a_person_ends_it_but_a_failing_canary_still_goes():
    drive = Drive(ERRORS)
    drive.look(2, **GOOD)
    drive.act("pause", reason="lunch")
    drive.look(300, **GOOD)
    assert drive.rollout.pause.by == "ann"
    assert drive.rollout.step == 0
    drive.act("resume")
    drive.act("pause")
    drive.look(20, **BAD)
    assert drive.rollout.phase == "aborted"


def test_an_unguarded_pause_holds_even_a_failing_canary_and_says_so():
    drive = Drive(ERRORS)
    drive.look(2, **GOOD)
    drive.act("pause", guarded=False)
    decision = drive.look(40, **BAD)
    assert drive.rollout.phase == "paused"
    assert "would be aborted" in decision.reason


def test_a_persons_promotion_is_never_taken_back_by_the_policy():
    drive = Drive(ERRORS)
    drive.look(2, **BAD)
    drive.act("promote", reason="it must go out")
    drive.look(50, **BAD)
    assert (drive.rollout.phase, drive.rollout.weight, drive.rollout.ended_by) == ("promoted", 100, "ann")
    assert {d.action for d in drive.decisions[-50:]} == {"wait"}


def test_a_person_can_skip_to_the_next_step_and_past_the_last_one():
    drive = Drive(ERRORS)
    for early in ("skip", "promote"):
        with pytest.raises(Conflict, match="not ready"):
            drive.act(early)
    drive.look()
    assert drive.act("skip").weight == 50
    assert drive.act("skip").action == "promote"


@pytest.mark.parametrize("kind", ["pause", "resume", "skip", "promote", "abort"])
def test_nothing_can_be_done_to_a_rollout_that_has_ended(kind):
    drive = Drive(ERRORS)
    drive.act("abort", reason="no")
    with pytest.raises(Conflict, match="ann aborted it: no"):
        drive.act(kind)


def test_there_is_nothing_to_resume_where_nothing_is_paused():
    with pytest.raises(Conflict, match="not paused"):
        Drive(ERRORS).act("resume")


def test_a_rollout_paused_before_it_is_ready_starts_after_it():
    drive = Drive(ERRORS)
    drive.act("pause")
    drive.look(3)
    assert drive.rollout.weight == 0
    drive.act("resume")
    assert drive.rollout.phase == "starting"
    assert drive.look().weight == 10


def test_windows_count_once_however_often_they_are_given():
    once, often = begin("r", "e", 1, 2, 0.0), begin("r", "e", 1, 2, 0.0)
    windows = [plain(number, Arm(requests=20, errors=3)) for number in range(6)]
    for number in range(1, 7):
        once = decide(once, ERRORS, seen(windows[number - 1]), number * 5.0).rollout
        for _ in range(3):
            often = decide(often, ERRORS, seen(*reversed(windows[:number])), number * 5.0).rollout
    assert once == often


def test_looking_every_second_decides_as_looking_every_five_does():
    ends = []
    for seconds in (1, 5):
        rollout, now = begin("r", "e", 1, 2, 0.0), 0
        while not rollout.ended:
            canary = Arm(requests=4 * seconds, errors=sum(at % 4 == 0 for at in range(now, now + seconds)))
            window = Window(start=now, end=now + seconds, canary=canary, stable=Arm(requests=20 * seconds))
            now += seconds
            rollout = decide(rollout, ERRORS, seen(window), float(now)).rollout
        ends.append((rollout.phase, now))
    (one, early), (five, late) = ends
    assert one == five == "aborted"
    assert abs(early - late) <= 15


def check_once(check, canary, stable=NONE, windows=40, strategy=None):
    drive = Drive(strategy or Strategy(steps=(Step(weight=10, bake_s=10_000),), checks=(check,)))
    drive.look(1)
    drive.look(windows, canary=canary, stable=stable)
    return drive


@pytest.mark.parametrize(
    ("check", "canary", "stable"),
    [
        (Errors(limit=0.01, worse_by=None), Arm(requests=20, errors=2), Arm()),
        (Latency(), Arm(latency=(0, 2, 18, 0)), Arm(latency=(0, 90, 10, 0))),
        (Latency(limit_s=0.02, worse_by=None), Arm(latency=(0, 2, 18, 0)), Arm()),
        (Latency(quantile=0.95, worse_by=0.4), Arm(latency=(0, 18, 0, 2)), Arm(latency=(0, 99, 1, 0))),
        (Scores(), Arm(scores=(10, 5, 5)), Arm(scores=(20, 40, 40))),
        (Feedback(), Arm(feedback={"accuracy": Moments(count=10, total=5, squares=5)}),
         Arm(feedback={"accuracy": Moments(count=100, total=90, squares=90)})),
        (Feedback(limit=0.8, worse_by=None), Arm(feedback={"accuracy": Moments(count=10, total=5, squares=5)}), Arm()),
        (Feedback(metric="mae", kind="mean", better="lower", worse_by=0.1),
         Arm(feedback={"mae": Moments(count=10, total=20, squares=50)}),
         Arm(feedback={"mae": Moments(count=10, total=10, squares=20)})),
        (Feedback(metric="mae", kind="mean", better="lower", worse_by=None, limit=1.5),
         Arm(feedback={"mae": Moments(count=10, total=20, squares=50)}), Arm()),
        (Shadow(), Arm(compared=20, disagreed=4), Arm()),
        (Memory(limit_mb=500), Arm(memory_mb=501), Arm(memory_mb=400)),
        (Findings(), Arm(findings=(Finding(subject="age", severity="alarm"),)), Arm(findings=())),
        (Query(query="cost", at_least=2), Arm(values={"cost": 1}), Arm()),
        (Query(query="cost", worse_by=0.5), Arm(values={"cost": 16}), Arm(values={"cost": 10})),
        (Crashes(), Arm(requests=1, crashes=1), Arm(requests=1)),
    ],
)  # fmt: skip
def test_each_check_finds_its_fault(check, canary, stable):
    drive = check_once(check, canary, stable)
    assert drive.rollout.phase == "aborted"
    assert drive.decisions[0].action == "advance"


@pytest.mark.parametrize(
    ("check", "arm"),
    [
        (Errors(), Arm(requests=20, errors=4)),
        (Latency(), Arm(latency=(0, 2, 18, 0))),
        (Scores(), Arm(scores=(10, 5, 5))),
        (Feedback(), Arm(feedback={"accuracy": Moments(count=10, total=5, squares=5)})),
        (Feedback(metric="mae", kind="mean", better="lower"),
         Arm(feedback={"mae": Moments(count=10, total=20, squares=50)})),
        (Shadow(), Arm(compared=20)),
        (Memory(), Arm(memory_mb=700)),
        (Findings(), Arm(findings=(Finding(subject="age", severity="alarm"),))),
        (Query(query="cost", worse_by=0.1), Arm(values={"cost": 1000})),
        (Crashes(), Arm(requests=1, crashes=1)),
    ],
)  # fmt: skip
def test_no_check_blames_a_canary_that_does_what_the_stable_revision_does(check, arm):
    drive = check_once(check, arm, arm, windows=150)
    assert drive.rollout.phase == "baking"
    assert drive.decisions[-1].evidence[0].verdict == "pass"


def memory_run(shape, stable=lambda minutes: 400.0, minutes=10):
    drive = Drive(Strategy(steps=(Step(weight=10, bake_s=10_000),), checks=(Memory(),)))
    drive.look()
    for window in range(minutes * 12):
        at = window / 12
        drive.look(canary=Arm(memory_mb=shape(at)), stable=Arm(memory_mb=stable(at)))
    return drive.rollout.phase


def test_memory_that_grows_without_end_is_a_leak():
    assert memory_run(lambda minutes: 400 * (1 + 0.03 * minutes)) == "aborted"


@pytest.mark.parametrize(
    "shape",
    [
        lambda minutes: 400 * (1 + 0.3 * (1 - 2.718 ** (-minutes / 2))),
        lambda minutes: 400 + 60 * (minutes > 4) + 60 * (minutes > 7),
        lambda minutes: 400 * (1 + 0.002 * minutes),
        lambda minutes: 400 + (minutes * 60) % 40,
    ],
    ids=["warming up", "steps with the weight", "slower than allowed", "sawtooth of a collector"],
)
def test_memory_that_settles_is_none(shape):
    assert memory_run(shape) == "baking"


def test_memory_that_grows_at_both_is_the_traffics():
    grows = lambda minutes: 400 * (1 + 0.03 * minutes)  # noqa: E731
    assert memory_run(grows, grows) == "baking"


def test_other_bins_than_before_are_refused():
    drive = check_once(Latency(settle_s=0), Arm(latency=(0, 2, 18, 0)), windows=1)
    with pytest.raises(InvalidInput, match="buckets"):
        drive.look(canary=Arm(latency=(1, 2)))
    with pytest.raises(InvalidInput, match="buckets"):
        decide(drive.rollout, drive.strategy, Observation(), 99.0)
    drive = check_once(Scores(), Arm(scores=(1, 2)), windows=1)
    with pytest.raises(InvalidInput, match="bins"):
        drive.look(canary=Arm(scores=(1, 2, 3)))


def test_a_step_is_judged_by_the_checks_that_it_names():
    steps = (Step(weight=10, bake_s=30, checks=()), Step(weight=50, bake_s=30, checks=("errors",)))
    drive = Drive(Strategy(steps=steps, checks=(Errors(),)))
    drive.look(8, **BAD)
    assert drive.actions()[:2] == ["advance", "advance"]
    assert drive.look(1, **BAD).action in {"abort", "wait"}
    assert drive.rollout.phase == "aborted"


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (Strategy(steps=()), "steps: there is none"),
        (Strategy(steps=(Step(weight=0),)), r"steps\[0\].weight: 0 is no percent"),
        (Strategy(steps=(Step(weight=101),)), r"steps\[0\].weight: 101"),
        (Strategy(steps=(Step(weight=20), Step(weight=20))), r"steps\[1\].weight: 20 is not over the step before"),
        (Strategy(steps=(Step(weight=20, bake_s=-1),)), r"steps\[0\].bake_s"),
        (Strategy(steps=(Step(weight=20, pause_s=float("nan")),)), r"steps\[0\].pause_s"),
        (Strategy(steps=(Step(weight=20, checks=("latncy",)),)), "there is no check latncy"),
        (Strategy(steps=STEPS, alpha=0), "alpha: 0"),
        (Strategy(steps=STEPS, patience_s=-1), "patience_s: -1"),
        (Strategy(steps=STEPS, checks=(Errors(), Errors())), "2 checks are called errors"),
        (Strategy(steps=STEPS, checks=(Errors(worse_by=None),)), r"checks\[0\]: it has nothing to compare with"),
        (Strategy(steps=STEPS, checks=(Query(query="x"),)), r"checks\[0\]: it has nothing to compare with"),
        (Strategy(steps=STEPS, checks=(Errors(limit=5),)), r"checks\[0\].limit: 5 is not possible"),
        (Strategy(steps=STEPS, checks=(Latency(quantile=99),)), "quantile: 99"),
        (Strategy(steps=STEPS, checks=(Shadow(limit=0),)), r"checks\[0\].limit"),
        (Strategy(steps=STEPS, checks=(Memory(min_samples=2),)), "2 blocks show no trend"),
        (Strategy(steps=STEPS, checks=(Crashes(at_most=-1),)), r"checks\[0\].at_most"),
        (Strategy(steps=STEPS, checks=(Findings(in_a_row=0),)), r"checks\[0\].in_a_row"),
    ],
)
def test_a_strategy_that_cannot_be_followed_is_refused_by_field(strategy, said):
    with pytest.raises(InvalidInput, match=said) as refused:
        check_strategy(strategy)
    assert refused.value.help


def test_the_default_strategy_and_odd_but_possible_ones_are_taken():
    check_strategy(DEFAULT_STRATEGY)
    check_strategy(Strategy(steps=(Step(weight=100, bake_s=0),), checks=(Query(query="x", at_most=-3),)))
    check_strategy(Strategy(steps=STEPS, checks=(Feedback(metric="mae", kind="mean", better="lower", limit=40),)))


def test_strategies_and_checks_pass_through_json():
    text = msgspec.json.encode(DEFAULT_STRATEGY)
    assert msgspec.json.decode(text, type=Strategy) == DEFAULT_STRATEGY
    with pytest.raises(msgspec.ValidationError, match="unknown field `wieght`"):
        msgspec.json.decode(b'{"steps": [{"weight": 1, "wieght": 2}]}', type=Strategy)


arms = st.builds(
    Arm,
    requests=st.integers(0, 60),
    errors=st.sampled_from([0, 0, 0, 0, 30]),
    latency=st.sampled_from([(), (0, 30, 5, 0), (0, 2, 3, 30)]),
    scores=st.sampled_from([(), (10, 20), (30, 2)]),
    memory_mb=st.none() | st.floats(100, 900),
    feedback=st.sampled_from(
        [{}, {"accuracy": Moments(count=20, total=18, squares=18)}, {"accuracy": Moments(count=9)}]
    ),
    findings=st.sampled_from([None, (), (Finding(subject="age", severity="alarm"),)]),
    crashes=st.sampled_from([0, 0, 0, 1]),
)
KINDS = ["pause", "resume", "skip", "promote", "abort"]


class RolloutMachine(RuleBasedStateMachine):
    """Observations, people, restarts and repeats in any order."""

    @initialize(approve=st.booleans(), pause_s=st.sampled_from([0.0, 20.0]))
    def start(self, approve, pause_s):
        steps = (Step(weight=5, bake_s=10), Step(weight=30, bake_s=10, approve=approve, pause_s=pause_s))
        checks = (Errors(enough=5), Latency(settle_s=5, enough=5), *DEFAULT_STRATEGY.checks[2:])
        self.strategy = Strategy(steps=steps, checks=checks, patience_s=30)
        self.rollout = begin("r", "fraud", 1, 2, 0.0)
        self.now, self.past, self.by_person = 0.0, [], None

    def take(self, decision, by):
        before, after = self.rollout, decision.rollout
        assert decision.weight == after.weight
        assert decision.reason
        if before.ended:
            assert after == before
        if after.phase == "aborted":
            assert after.weight == 0
        else:
            assert after.weight >= before.weight
            assert after.step >= before.step
        if by == POLICY and before.pause and before.pause.by != POLICY:
            assert after.phase in ({"paused", "aborted"} if before.pause.guarded else {"paused"})
            assert after.phase == "aborted" or after.pause == before.pause
        self.rollout = msgspec.json.decode(msgspec.json.encode(after), type=Rollout)
        assert self.rollout == after

    @rule(
        stable=arms,
        canary=arms,
        health=st.sampled_from([None, READY, READY, READY, Health()]),
        s=st.sampled_from([1, 5, 40]),
    )
    def observe(self, stable, canary, health, s):
        self.past.append(Window(start=self.now, end=self.now + s, stable=stable, canary=canary))
        self.now += s
        observation = seen(*self.past[-3:], health=health)
        decision = decide(self.rollout, self.strategy, observation, self.now)
        assert decide(self.rollout, self.strategy, observation, self.now) == decision
        self.take(decision, POLICY)

    @rule(s=st.sampled_from([0.0, 10.0, 100.0]))
    def nothing_seen(self, s):
        self.now += s
        before = self.rollout
        self.take(decide(before, self.strategy, Observation(latency_bounds=BOUNDS), self.now), POLICY)
        if self.rollout.phase == "aborted" and not before.ended:
            assert before.pause is not None  # it failed before, and was held; now its pause is guarded

    @rule(kind=st.sampled_from(KINDS), guarded=st.booleans())
    def person(self, kind, guarded):
        try:
            decision = act(self.rollout, self.strategy, Act(kind=kind, by="ann", guarded=guarded), self.now)
        except Conflict:
            return
        self.take(decision, "ann")

    @invariant()
    def the_state_is_a_declared_one(self):
        if not hasattr(self, "rollout"):
            return
        rollout = self.rollout
        assert rollout.phase in {"starting", "baking", "paused", "promoted", "aborted"}
        assert (rollout.phase == "paused") == (rollout.pause is not None)
        assert rollout.ended == bool(rollout.ended_by)
        if rollout.phase in {"starting", "baking", "paused"}:
            assert rollout.weight == (self.strategy.steps[rollout.step].weight if rollout.step >= 0 else 0)

    def teardown(self):
        """Whatever happened, good data and a person who ends pauses bring it to an end."""
        if not hasattr(self, "rollout"):
            return
        good = Arm(requests=60, latency=(0, 60, 0, 0), memory_mb=400.0)
        for _ in range(400):
            if self.rollout.ended:
                return
            if self.rollout.pause:
                self.person_resumes()
                continue
            window = Window(start=self.now, end=self.now + 5, stable=good, canary=good)
            self.now += 5
            self.take(decide(self.rollout, self.strategy, seen(window), self.now), POLICY)
        raise AssertionError(self.rollout)

    def person_resumes(self):
        self.take(act(self.rollout, self.strategy, Act(kind="resume", by="ann"), self.now), "ann")


TestRolloutMachine = RolloutMachine.TestCase
TestRolloutMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
