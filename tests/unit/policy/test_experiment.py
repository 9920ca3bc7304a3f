"""Experiments: what is said, when, and that looking all the time does no harm."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput
from inferry.policy.experiment import check_experiment, judge, plan, words
from inferry.policy.sequential import half_width, log_mixture, log_shares, mean, samples_needed, variance
from inferry.types.analysis import Moments
from inferry.types.experiment import Experiment, Report, Seen, Variant

HALVES = (Variant(name="old", weight=50), Variant(name="new", weight=50))
THIRDS = (Variant(name="old", weight=50), Variant(name="new", weight=25), Variant(name="other", weight=25))
BOUGHT = Experiment(name="price", metric="bought", variants=HALVES, min_effect=0.02, expected=0.1)


def share(name, units, ones, exposed=None):
    return Seen(variant=name, exposed=exposed or units, outcome=Moments(count=units, total=ones, squares=ones))


def test_a_clear_difference_has_a_winner_with_its_numbers():
    report = judge(BOUGHT, [share("old", 10_000, 1000), share("new", 10_000, 1400)], 5.0)
    assert (report.verdict, report.winner) == ("winner", "new")
    found = report.comparisons[0]
    assert found.significant
    assert found.low > 0
    assert found.lift == pytest.approx(0.4)
    assert found.lift_low < 0.4 < found.lift_high
    assert found.p < 0.001
    assert "0.14 against 0.1, lift +40 %" in report.reason
    assert report.exposed == 20_000


def test_the_control_wins_where_all_others_are_worse():
    lower = msgspec.structs.replace(BOUGHT, better="lower")
    report = judge(lower, [share("old", 10_000, 1000), share("new", 10_000, 1400)], 5.0)
    assert (report.verdict, report.winner) == ("winner", "old")


def test_little_difference_goes_on_and_says_how_much_is_needed():
    report = judge(BOUGHT, [share("old", 500, 50), share("new", 500, 52)], 5.0)
    assert report.verdict == "continue"
    assert 8000 < report.needed < 25_000
    assert report.comparisons[0].low < 0 < report.comparisons[0].high


def test_it_stops_when_no_difference_that_matters_is_left():
    report = judge(BOUGHT, [share("old", 60_000, 6000), share("new", 60_000, 6030)], 5.0)
    assert (report.verdict, report.winner) == ("stop", "")
    assert "No variant is better than old by 0.02" in report.reason


def test_too_few_outcomes_say_nothing():
    for pair in ([share("old", 50, 0), share("new", 50, 40)], [], [share("new", 5000, 4000)]):
        report = judge(BOUGHT, pair, 5.0)
        assert report.verdict == "continue" or "lost" in report.reason
        assert report.comparisons[0].low is None
        assert report.needed == plan(BOUGHT)
    assert "too few" in words(report.comparisons[0])


def test_a_result_waits_for_the_least_time():
    week = msgspec.structs.replace(BOUGHT, min_s=604_800.0, started=1000.0)
    pair = [share("old", 10_000, 1000), share("new", 10_000, 1400)]
    assert judge(week, pair, 2000.0).verdict == "continue"
    assert judge(week, pair, 1000.0 + 604_800).verdict == "winner"


def test_lost_units_stop_it_whatever_the_metric_says():
    report = judge(BOUGHT, [share("old", 10_000, 1000), share("new", 9000, 1400)], 5.0)
    assert (report.verdict, report.winner) == ("stop", "")
    assert report.mismatch_p <= 0.001
    assert "old 10000, new 9000" in report.reason


def test_of_two_challengers_the_better_one_wins_and_each_has_half_of_alpha():
    asked = msgspec.structs.replace(BOUGHT, variants=THIRDS)
    seen = [share("old", 20_000, 2000), share("new", 10_000, 1300), share("other", 10_000, 1500)]
    assert judge(asked, seen, 1.0).winner == "other"
    alone = judge(BOUGHT, [share("old", 10_000, 1000), share("new", 10_000, 1100)], 1.0).comparisons[0]
    both = judge(asked, [share("old", 10_000, 1000), share("new", 10_000, 1100)], 1.0).comparisons[0]
    assert both.high - both.low > alone.high - alone.low


def test_means_are_judged_as_well():
    spent = Experiment(name="s", metric="spent", kind="mean", variants=HALVES, min_effect=0.5, deviation=4.0)
    seen = [
        Seen(variant="old", exposed=5000, outcome=Moments(count=5000, total=50_000, squares=580_000)),
        Seen(variant="new", exposed=5000, outcome=Moments(count=5000, total=53_000, squares=641_800)),
    ]
    report = judge(spent, seen, 1.0)
    assert report.winner == "new"
    assert report.comparisons[0].difference == pytest.approx(0.6)
    assert plan(spent) > 1000


def test_p_values_only_fall_and_intervals_only_narrow():
    first = judge(BOUGHT, [share("old", 10_000, 1000), share("new", 10_000, 1200)], 1.0)
    later = judge(BOUGHT, [share("old", 20_000, 2000), share("new", 20_000, 2100)], 2.0, first)
    alone = judge(BOUGHT, [share("old", 20_000, 2000), share("new", 20_000, 2100)], 2.0)
    assert later.comparisons[0].p == first.comparisons[0].p < alone.comparisons[0].p
    assert later.comparisons[0].low == max(first.comparisons[0].low, alone.comparisons[0].low)
    assert later.comparisons[0].high == min(first.comparisons[0].high, alone.comparisons[0].high)


def test_a_difference_that_has_moved_is_told_as_it_is_now():
    first = judge(BOUGHT, [share("old", 10_000, 1000), share("new", 10_000, 2000)], 1.0)
    later = judge(BOUGHT, [share("old", 200_000, 20_000), share("new", 200_000, 20_000)], 2.0, first)
    assert later.comparisons[0].low < 0 < later.comparisons[0].high


def test_reports_pass_through_json():
    report = judge(BOUGHT, [share("old", 500, 50), share("new", 500, 52)], 5.0)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variants": HALVES[:1]}, "two or more"),
        ({"variants": (HALVES[0], HALVES[0])}, "two or more"),
        ({"variants": (HALVES[0], Variant(name="new", weight=40))}, "sum to 100"),
        ({"variants": (Variant(name="old", weight=100), Variant(name="new", weight=0))}, "sum to 100"),
        ({"min_effect": 0.0}, "min_effect: 0"),
        ({"alpha": 1.0}, "alpha: 1"),
        ({"power": float("nan")}, "power: nan"),
        ({"mismatch_alpha": 0.6}, "mismatch_alpha"),
        ({"expected": 3.0}, "expected: 3 is no share"),
    ],
)
def test_an_experiment_that_cannot_be_judged_is_refused_by_field(changes, said):
    check_experiment(BOUGHT)
    with pytest.raises(InvalidInput, match=said):
        check_experiment(msgspec.structs.replace(BOUGHT, **changes))


def test_sums_of_a_variant_that_there_is_not_are_refused():
    with pytest.raises(InvalidInput, match="no variant blue"):
        judge(BOUGHT, [share("blue", 10, 1)], 1.0)


@given(st.integers(0, 14), st.sampled_from([(0.5, 0.5), (0.9, 0.1)]))
def test_the_e_value_of_the_shares_has_a_mean_of_one(units, shares):
    mean_ = sum(
        math.comb(units, x) * shares[0] ** x * shares[1] ** (units - x) * math.exp(log_shares((x, units - x), shares))
        for x in range(units + 1)
    )
    assert mean_ == pytest.approx(1.0)


@given(st.floats(1e-6, 10), st.floats(1e-3, 10), st.floats(0.001, 0.4))
def test_the_interval_is_where_the_e_value_reaches_one_over_alpha(spread2, effect, alpha):
    width = half_width(spread2, effect, alpha)
    assert log_mixture(width, spread2, effect) == pytest.approx(-math.log(alpha))


def test_more_power_smaller_effects_and_more_spread_need_more_units():
    base = samples_needed(1.0, 0.1, 0.05, 0.8)
    assert samples_needed(1.0, 0.1, 0.05, 0.9) > base
    assert samples_needed(1.0, 0.05, 0.05, 0.8) > 3.5 * base
    assert samples_needed(2.0, 0.1, 0.05, 0.8) > 1.9 * base
    assert samples_needed(0.0, 0.1, 0.05, 0.8) == 0


def test_moments():
    values = Moments(count=4, total=10, squares=30)  # 1 2 3 4
    assert mean(values) == 2.5
    assert variance(values) == pytest.approx(5 / 3)
    assert mean(Moments()) == variance(Moments(count=1, total=2, squares=4)) == 0
    assert half_width(0, 1, 0.05) == math.inf
    assert log_mixture(1, 0, 1) == 0
