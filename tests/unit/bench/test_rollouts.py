"""A short run of the simulations behind docs/tasks/rollouts.md, with fixed seeds."""

import pytest

from bench.rollouts import EXPERIMENTS, FAULTS, GOOD, WORLDS, experiment, simulate

BUSY = [name for name in WORLDS if not name.startswith("little")]


@pytest.mark.parametrize("world", BUSY)
def test_good_canaries_are_promoted_and_bad_ones_are_not(world):
    for place, canary in enumerate(GOOD.values()):
        run = simulate(WORLDS[world], canary, (place, 11))
        assert (run.phase, run.highest) == ("promoted", 100), run
    for place, canary in enumerate(FAULTS.values()):
        run = simulate(WORLDS[world], canary, (place, 12))
        assert run.phase == "aborted", run
        assert run.highest < 100
        assert run.seconds < 600


def test_at_little_traffic_a_bad_canary_is_found_before_the_last_step_passes():
    *_, quiet = WORLDS.values()
    run = simulate(quiet, FAULTS["5 % of requests fail (5xx)"], (1, 13))
    assert run.phase == "aborted"


def test_looking_all_the_time_makes_few_false_winners_and_finds_what_matters():
    asked = EXPERIMENTS["share of 10 %, halves"]
    same = [experiment(asked, 0.0, (seed, 14)) for seed in range(60)]
    other = [experiment(asked, asked.min_effect, (seed, 15)) for seed in range(60)]
    assert sum(one.significant for one in same) <= 0.05 * 60 + 3
    assert sum(one.winner == "new" for one in other) >= 0.7 * 60
    assert not any(one.mismatch for one in same)
    assert experiment(asked, 0.0, (0, 16), lost=0.2).mismatch
