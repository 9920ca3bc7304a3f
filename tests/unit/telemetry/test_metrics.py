"""Metrics: buckets, quantiles and the Prometheus text."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.telemetry.metrics import (
    BOUNDS_S,
    BUCKETS,
    Metrics,
    Series,
    bucket_of,
    escape,
    merge,
    slower,
    upper_bound,
)

LAST = int(upper_bound(BUCKETS - 1))
durations = st.one_of(st.integers(0, 5000), st.integers(0, LAST))

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|\})')
VALUE = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|Inf|NaN)")


def parse(page):
    """A strict reader of the text format 0.0.4: (name, labels) -> value, and the type of each family."""
    assert page.endswith("\n")
    samples, types, family = {}, {}, None
    for line in page[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, _, text = line[7:].partition(" ")
            assert NAME.fullmatch(name)
            assert name not in types
            assert text
            family = name
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name == family
            assert kind in {"counter", "gauge", "histogram"}
            types[name] = kind
        else:
            name = NAME.match(line).group()
            suffixes = ("_bucket", "_sum", "_count") if types[family] == "histogram" else ("",)
            assert name in {family + suffix for suffix in suffixes}
            at, labels = len(name), {}
            if line[at] == "{":
                at += 1
                while True:
                    match = LABEL.match(line, at)
                    assert match, line
                    assert match[1] not in labels
                    labels[match[1]] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], match[2])
                    at = match.end()
                    if match[3] == "}":
                        break
            assert line[at] == " "
            assert VALUE.fullmatch(line[at + 1 :]), line
            key = (name, tuple(labels.items()))
            assert key not in samples
            samples[key] = float(line[at + 1 :])
    return samples, types


@given(durations)
def test_a_duration_is_at_most_its_buckets_bound_and_over_the_one_before(microseconds):
    bucket = bucket_of(microseconds)
    assert 0 <= bucket < BUCKETS
    assert microseconds <= upper_bound(bucket)
    assert bucket == 0 or microseconds > upper_bound(bucket - 1)
    assert upper_bound(bucket) <= microseconds * 1.25


def test_bounds_rise_and_each_belongs_to_its_own_bucket():
    bounds = [upper_bound(bucket) for bucket in range(BUCKETS)]
    assert bounds == sorted(set(bounds))
    assert [bucket_of(int(bound)) for bound in bounds] == list(range(BUCKETS))


@pytest.mark.parametrize("microseconds", [-5, LAST + 1, 1 << 70])
def test_absurd_durations_land_in_the_outer_buckets(microseconds):
    assert bucket_of(microseconds) in (0, BUCKETS - 1)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_never_too_low_and_at_most_a_quarter_too_high(spent, q):
    series = Series()
    for microseconds in spent:
        series.observe(200, microseconds, 0, 0, 1, 1)
    exact = sorted(spent)[max(0, math.ceil(q * len(spent)) - 1)] / 1e6
    assert exact <= series.quantile(q) <= exact * 1.25 + 1e-9


def test_nothing_measured_is_zero():
    assert Series().quantile(0.99) == 0.0
    assert parse(Metrics().render())[0] == {}


@given(st.lists(st.integers(0, 60_000_000), max_size=50), st.text(max_size=20))
def test_the_text_parses_and_its_histogram_adds_up(spent, name):
    metrics = Metrics()
    series = metrics.get((("endpoint", name), ("door", "oip")))
    for microseconds in spent:
        series.observe(200 if microseconds % 3 else 500, microseconds, 2, 3, 4, 5)
    metrics.gauges["inferry_replicas_ready", (("endpoint", name),)] = 2
    samples, types = parse(metrics.render().replace("\r", "?"))
    labels = (("endpoint", name.replace("\r", "?")), ("door", "oip"))
    assert types["inferry_request_seconds"] == "histogram"
    buckets = [samples["inferry_request_seconds_bucket", (*labels, ("le", f"{bound:g}"))] for bound in BOUNDS_S]
    total = samples["inferry_request_seconds_bucket", (*labels, ("le", "+Inf"))]
    assert buckets == sorted(buckets)
    assert total == samples["inferry_request_seconds_count", labels] == len(spent) >= buckets[-1]
    assert samples["inferry_request_seconds_sum", labels] == pytest.approx(sum(spent) / 1e6)
    for bound, count in zip(BOUNDS_S, buckets, strict=True):
        assert count <= sum(microseconds <= bound * 1e6 for microseconds in spent)
        assert count >= sum(microseconds <= bound * 0.79e6 for microseconds in spent)
    assert samples["inferry_rows_total", labels] == 5 * len(spent)
    counted = [value for (name, _), value in samples.items() if name == "inferry_requests_total"]
    assert sum(counted) == len(spent)
    assert samples["inferry_replicas_ready", labels[:1]] == 2


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", '\\"\n', "\\n"])
def test_label_values_come_back_as_they_were(value):
    metrics = Metrics()
    metrics.get((("endpoint", value),)).observe(200, 1, 0, 0, 1, 1)
    samples, _ = parse(metrics.render())
    assert ("inferry_requests_total", (("endpoint", value), ("status", "200"))) in samples
    assert "\n" not in escape(value)


@pytest.mark.parametrize("microseconds", [1, 999_999, 123_456_789_012, 123_456_789_012_345])
def test_a_counter_keeps_its_microseconds_however_large(microseconds):
    metrics = Metrics()
    series = metrics.get((("endpoint", "a"),))
    series.predict_us = microseconds
    samples, _ = parse(metrics.render())
    assert samples["inferry_predict_seconds_total", (("endpoint", "a"),)] == pytest.approx(
        microseconds / 1e6, rel=1e-12
    )
    series.rows = 12_345_678
    assert 'inferry_rows_total{endpoint="a"} 12345678\n' in metrics.render()


@given(st.lists(durations, min_size=1, max_size=50), st.floats(0.000_01, 100))
def test_how_many_took_longer_is_counted_to_within_a_bucket(taken, limit_s):
    series = Series()
    for microseconds in taken:
        series.observe(200, microseconds, 0, 0, 1, 1)
    found, limit = slower(series.buckets, limit_s), limit_s * 1e6
    assert (
        sum(one > limit * 1.3 + 1 for one in taken) - 1e-6
        <= found
        <= sum(one >= limit / 1.3 - 1 for one in taken) + 1e-6
    )
    assert slower(series.buckets, 0.0) == 0.0


awkward = st.text(alphabet='ab"\\\n\r\u2028\x85# HELPTY{}', max_size=30)
processes = st.lists(
    st.lists(st.tuples(awkward, st.sampled_from([200, 503]), st.booleans()), max_size=4), min_size=1, max_size=4
)


def counted(requests):
    metrics = Metrics()
    for name, status, in_parts in requests:
        series = metrics.get((("endpoint", name), ("door", "oip")))
        series.observe(status, 1000, 2, 3, 4, 5)
        if in_parts:
            series.observe_first(500)
            series.count_tokens(1, 2)
        metrics.gauges["inferry_requests_held", (("endpoint", name),)] = 1
        metrics.totals["inferry_captures_total"] = 3
    return metrics


@given(processes)
def test_the_texts_of_several_processes_are_one_page_with_all_their_samples(processes):
    """`parse` wants each metric's lines together under one HELP and TYPE, and no sample twice."""
    every = [counted(requests) for requests in processes]
    samples, types = parse(merge(one.render((("gateway", str(number)),)) for number, one in enumerate(every)))
    expected = {}
    for number, one in enumerate(every):
        own, kinds = parse(one.render())
        assert kinds.items() <= types.items()
        for (name, labels), value in own.items():
            expected[name, frozenset((*labels, ("gateway", str(number))))] = value
    assert {(name, frozenset(labels)): value for (name, labels), value in samples.items()} == expected


def test_one_text_stays_as_it_is():
    page = counted([("a", 200, True), ("b", 503, False)]).render()
    assert merge([page]) == page
