"""Schedules: which limits hold when, over clock changes, and what is refused."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput
from inferry.policy import scale
from inferry.policy.schedule import check, holding, read
from inferry.types.scaling import Scaling, Snapshot

BERLIN = ZoneInfo("Europe/Berlin")


def at(*parts, zone=BERLIN, fold=0):
    return datetime(*parts, tzinfo=zone, fold=fold).timestamp()


def limits(entries, moment, low=0, high=4):
    found = holding(Scaling(min_replicas=low, max_replicas=high, schedule=tuple(map(read, entries))), moment)
    return found.scaling.min_replicas, found.scaling.max_replicas


OFFICE = ["0 8 * * mon-fri Europe/Berlin min=2 max=8 for=10h"]
PARTS = ["0 8 * * * Europe/Berlin min=2", "0 22 * * * Europe/Berlin min=0 max=1"]


@pytest.mark.parametrize(
    ("moment", "found"),
    [
        (at(2026, 11, 27, 7, 59, 59), (0, 4)),
        (at(2026, 11, 27, 8), (2, 8)),
        (at(2026, 11, 27, 17, 59, 59), (2, 8)),
        (at(2026, 11, 27, 18), (0, 4)),
        (at(2026, 11, 28, 12), (0, 4)),  # a Saturday
        (at(2026, 7, 27, 6, zone=ZoneInfo("UTC")), (2, 8)),  # it is 8 in summer
        (at(2026, 11, 27, 6, zone=ZoneInfo("UTC")), (0, 4)),
    ],
)
def test_an_entry_with_a_length_holds_for_it_on_the_clock_of_its_zone(moment, found):
    assert limits(OFFICE, moment) == found


@pytest.mark.parametrize(
    ("hour", "found"), [(7, (0, 1)), (8, (2, 4)), (21, (2, 4)), (22, (0, 1)), (23, (0, 1)), (0, (0, 1))]
)
def test_entries_without_a_length_take_over_from_each_other(hour, found):
    assert limits(PARTS, at(2026, 11, 27, hour)) == found


def test_what_began_last_wins_limit_by_limit():
    entries = [*PARTS, "0 12 * * * Europe/Berlin min=5 for=2h", "30 12 * * * Europe/Berlin max=6 for=30m"]
    assert limits(entries, at(2026, 11, 27, 11)) == (2, 4)
    assert limits(entries, at(2026, 11, 27, 12)) == (5, 5), "a limit moves the one that nobody spoke of"
    assert limits(entries, at(2026, 11, 27, 12, 45)) == (5, 6)
    assert limits(entries, at(2026, 11, 27, 13, 15)) == (5, 5)
    assert limits(entries, at(2026, 11, 27, 14)) == (2, 4)


def test_an_hour_that_the_clock_leaves_out_begins_at_its_end():
    entries = ["30 2 * * * Europe/Berlin min=2 for=1h"]
    gap = at(2026, 3, 29, 3)  # the hour from 2 to 3 is not there
    assert limits(entries, gap - 1) == (0, 4)
    assert limits(entries, gap) == (2, 4)
    assert limits(entries, gap + 3599) == (2, 4)
    assert limits(entries, gap + 3600) == (0, 4)


def test_an_hour_that_comes_twice_begins_once():
    entries = ["30 2 * * * Europe/Berlin min=2 for=1h"]
    first = at(2026, 10, 25, 2, 30)
    assert first + 3600 == at(2026, 10, 25, 2, 30, fold=1)
    assert [limits(entries, first + after) for after in (-1, 0, 3599, 3600, 5400)] == [
        (0, 4), (2, 4), (2, 4), (0, 4), (0, 4)
    ]  # fmt: skip


def test_a_day_from_morning_to_evening_is_as_long_as_the_clock_says():
    night = ["0 22 * * * Europe/Berlin max=1", "0 6 * * * Europe/Berlin max=4"]
    for day, hours in ((28, 7), (24, 9)):  # clocks go forward, and back
        month = 3 if day == 28 else 10
        begun, ended = at(2026, month, day, 22), at(2026, month, day + 1, 6)
        assert ended - begun == hours * 3600
        assert (limits(night, begun), limits(night, ended - 1), limits(night, ended)) == ((0, 1), (0, 1), (0, 4))


zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"])
crons = st.sampled_from(["0 8 * * *", "30 2 * * *", "0 */6 * * *", "15 1,2,3 * * sun", "0 0 1 * *", "45 1 * * *"])


@given(zones, crons, st.integers(60, 86_000), st.integers(0, 400 * 86400), st.floats(0, 1, exclude_max=True))
def test_what_holds_changes_at_the_moment_that_was_told_and_not_before(zone, cron, length, offset, share):
    entry = f"{cron} {zone} min=3 for={length}s"
    scaling = Scaling(min_replicas=1, max_replicas=4, schedule=(read(entry),))
    now = at(2026, 1, 1, zone=ZoneInfo("UTC")) + offset
    found = holding(scaling, now)
    assert found.until > now
    inside = min(now + (found.until - now) * share, found.until - 0.001)
    assert holding(scaling, inside).scaling == found.scaling
    later = holding(scaling, found.until)
    assert 3 in (found.scaling.min_replicas, later.scaling.min_replicas), "it holds now, or from the next change on"


def test_it_says_by_what_and_until_when():
    scaling = Scaling(min_replicas=0, max_replicas=4, schedule=tuple(map(read, OFFICE)))
    found = holding(scaling, at(2026, 11, 27, 9))
    words = "by the schedule 0 8 * * mon-fri Europe/Berlin until 2026-11-27 18:00 CET"
    assert found.text == f"at least 2 {words}; at most 8 {words}"
    assert found.until == at(2026, 11, 27, 18)
    asleep = scale.begin(Scaling(min_replicas=0), 0, 0.0)
    decision = scale.decide(Snapshot(), found.scaling, asleep, 100.0, found.said)
    assert (decision.replicas, decision.reason) == (2, f"at least 2 {words}")
    crowd = Snapshot(arrived=0, in_flight=900, busy_s=0.0, ready=2, service_s=1.0)
    begun = scale.decide(crowd, found.scaling, decision.state, 101.0, found.said)
    more = Snapshot(arrived=900, in_flight=900, busy_s=900.0, ready=2, service_s=1.0)
    assert scale.decide(more, found.scaling, begun.state, 102.0, found.said).reason.endswith(f"at most 8 {words}")
    assert holding(scaling, at(2026, 11, 28, 9)).text == ""


def test_when_the_most_goes_down_replicas_go_at_once_and_when_the_least_does_after_their_delay():
    state = scale.begin(Scaling(max_replicas=8), 8, 0.0)
    night = Scaling(min_replicas=0, max_replicas=2, idle_timeout_s=60)
    now = scale.decide(Snapshot(in_flight=5, ready=8), night, state, 1.0)
    assert (now.replicas, now.reason) == (2, "at most 2")
    counts, state = [], now.state
    for second in range(2, 70):
        decision = scale.decide(Snapshot(ready=2), night, state, float(second))
        counts, state = [*counts, decision.replicas], decision.state
    assert counts[0] == 2
    assert counts[-1] == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 8 * * mon-fri Europe/Berlin", "changes nothing"),
        ("0 8 * * mon-fri Mars/Olympus min=2 for=1h", "is not a time zone"),
        ("0 8 * * mon-fri ../../etc min=2 for=1h", "is not a time zone"),
        ("0 25 * * * min=2 for=1h", "no cron expression: Bad hour"),
        ("0 8 * * min=2", "no cron expression"),
        ("", "no cron expression"),
        ("0 0 31 2 * min=2 for=1h", "no cron expression"),
        ("0 8 * * * min=two for=1h", "no number of replicas"),
        ("0 8 * * * min=300 for=1h", "no number of replicas"),
        ("0 8 * * * min=3 max=2 for=1h", "limits"),
        ("0 8 * * * max=0 for=1h", "limits"),
        ("0 8 * * * min=2 for=10", "has no unit"),
        ("0 8 * * * min=2 for=5s", "no usable length"),
        ("0 8 * * * min=2 until=9", "makes no sense"),
        ("0 8 * * * UTC min=2 min=3 for=1h", "makes no sense"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write(text, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        read(text)
    assert caught.value.help


def test_one_entry_that_nothing_ends_is_refused():
    with pytest.raises(InvalidInput, match="Nothing ends"):
        check([read("0 8 * * * min=2")])
    check([read(text) for text in PARTS])
    with pytest.raises(InvalidInput, match="too long"):
        check([read(OFFICE[0])] * 33)


@given(
    st.sampled_from(["0 8 * * mon-fri", "*/5 * * * *"]), zones, st.none() | st.integers(0, 4),
    st.none() | st.integers(4, 9), st.sampled_from([0, 60, 5400, 36_000, 86_400]),
)  # fmt: skip
def test_an_entry_is_told_as_it_may_be_written(cron, zone, least, most, length):
    if least is None and most is None:
        least = 1
    words = [f"{name}={count}" for name, count in (("min", least), ("max", most)) if count is not None]
    entry = read(" ".join([cron, zone, *words, *([f"for={length}s"] if length else [])]))
    assert read(entry.text) == entry
    assert timedelta(seconds=entry.for_s) == timedelta(seconds=length)
