"""What measurements mean: limits, differences between versions, times, bytes, and answers that differ."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy import gates
from inferry.policy.bootstrap import Difference
from inferry.types.gates import Metrics
from inferry.types.trials import Finding

GATE = Metrics(data="rows.csv", target="y")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=2), inner, max_size=3),
    max_leaves=6,
)


def verdicts(found):
    return [(one.what, one.verdict) for one in found]


def test_limits_say_what_was_found_and_what_must_be():
    found = gates.judge_limits({"accuracy": 0.84, "log_loss": 0.3}, {"accuracy": 0.9}, {"log_loss": 0.5}, of="region=n")
    assert [one.words for one in found] == [
        "region=n: accuracy is 0.84, but must be at least 0.9", "region=n: log_loss is 0.3 (at most 0.5)",
    ]  # fmt: skip
    assert verdicts(found) == [("region=n: accuracy", "failed"), ("region=n: log_loss", "passed")]


def test_a_metric_that_rows_do_not_define_fails():
    assert gates.judge_limits({"auc": math.nan}, {"auc": 0.5}, {})[0].words == "auc is not defined on these rows"


@pytest.mark.parametrize(
    ("metric", "low", "high", "margins", "verdict", "said"),
    [
        ("accuracy", -0.01, 0.02, (None, None), "passed", "not worse"),
        ("accuracy", -0.03, -0.01, (None, None), "failed", "it is worse"),
        ("accuracy", -0.008, 0.02, (0.01, None), "passed", "not worse by more than 0.01"),
        (
            "accuracy",
            -0.02,
            0.02,
            (0.01, None),
            "failed",
            "not shown to be not worse by more than 0.01, more rows could tell",
        ),
        ("accuracy", -0.05, -0.02, (0.01, None), "failed", "not shown to be not worse by more than 0.01"),
        ("accuracy", 0.01, 0.03, (None, 0.0), "passed", "better by more than 0"),
        ("accuracy", -0.01, 0.03, (None, 0.0), "failed", "not shown to be better by more than 0, more rows could tell"),
        ("log_loss", -0.05, -0.01, (None, None), "passed", "not worse"),
        ("log_loss", 0.01, 0.05, (None, None), "failed", "it is worse"),
        ("rmse", -0.05, 0.01, (0.02, None), "passed", "not worse by more than 0.02"),
    ],
)
def test_a_difference_is_judged_by_its_interval(metric, low, high, margins, verdict, said):
    found = gates.judge_difference(metric, Difference((low + high) / 2, low, high, 0.95, 1000), "fraud:6", *margins)
    assert found.verdict == verdict
    assert found.words.endswith(said)
    assert "(95% interval" in found.words


def test_a_difference_that_rows_do_not_define_fails():
    nothing = Difference(math.nan, math.nan, math.nan, 0.95, 0)
    assert gates.judge_difference("auc", nothing, "fraud:6", None, None).verdict == "failed"


def test_times_and_bytes_are_told_in_units_that_people_read():
    found = gates.judge_times(
        {"p50": 0.002, "p99": 0.03}, {"p50": 0.005, "p99": 0.02}, {"p99": 1.5}, {"p99": 0.01}, "a:1"
    )
    assert [one.words for one in found] == [
        "p50 is 2 ms (at most 5 ms)", "p99 is 30 ms, but must be at most 20 ms",
        "p99 is 30 ms, 3.00 times the 10 ms of a:1, but must be at most 1.5 times",
    ]  # fmt: skip
    assert (
        gates.judge_bytes("memory", 2e8, 1e8, None, None, "")[0].words == "memory is 200 MB, but must be at most 100 MB"
    )
    assert gates.judge_bytes("size", 500, 1e3, 1.2, 1000, "a:1")[1].words == (
        "size is 500 B, 0.50 times the 1 KB of a:1 (at most 1.2 times)"
    )


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50))
def test_so_many_percent_of_requests_are_not_over_a_quantile(times):
    for name, value in gates.quantiles(times).items():
        assert sum(time <= value for time in times) >= len(times) * int(name[1:]) / 100
        assert value in times


@pytest.mark.parametrize(
    ("got", "expected", "said"),
    [
        ({"label": "yes", "probabilities": {"yes": 0.91}}, {"label": "yes", "probabilities": {"yes": 0.91004}}, ""),
        ({"label": "yes", "probabilities": {"yes": 0.91}}, "yes", ""),
        ({"label": "yes"}, {"label": "no"}, "label is 'yes', not 'no'"),
        ({"value": 7}, 7.0, ""),
        ({"value": 7}, 8, "it is 7, not 8"),
        ([{"label": 1}, {"label": 2}], [1, 3], "[1] is 2, not 3"),
        ([1], [1, 2], "it is [1], not [1, 2]"),
        ({"a": 1}, {"b": 1}, "b is missing"),
        ({"a": {"x": 1.0}}, {"a": {"x": 2.0}}, "a.x is 1.0, not 2.0"),
        (1, True, "it is 1, not True"),
        (3_000_000.0, 3_000_001.0, ""),
        (None, 1.0, "it is None, not 1.0"),
    ],
)
def test_answers_differ_in_words(got, expected, said):
    assert gates.differs(got, expected, 1e-4) == said


@given(JSON)
def test_every_answer_is_equal_to_itself(value):
    assert gates.differs(value, value, 0.0) == ""


def test_a_gate_fails_with_one_finding_and_is_skipped_with_none():
    good, bad = Finding(what="a", verdict="passed", words="A."), Finding(what="b", verdict="failed", words="B.")
    skipped = Finding(what="c", verdict="skipped", words="C.")
    assert (gates.result(GATE, [good, skipped], 1.0).verdict, gates.result(GATE, [good, bad], 1.0).words) == (
        "passed",
        "B.",
    )
    assert gates.result(GATE, [skipped], 1.0).verdict == "skipped"
