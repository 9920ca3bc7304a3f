"""Configure: a fixed number of replicas, or limits between which it varies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput
from inferry.policy.configure import OF_SCALING, changed, value_of
from inferry.types.registry import RevisionConfig
from inferry.types.scaling import AUTO, Scaling, Schedule

FIXED = RevisionConfig(replicas=2, timeout_s=5.0)


def limits(config):
    return (config.least, config.most, config.first)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"replicas": 3}, (3, 3, 3)),
        ({"min_replicas": 0}, (0, 2, 1)),
        ({"max_replicas": 4}, (2, 4, 2)),
        ({"max_replicas": 1}, (1, 1, 1)),
        ({"min_replicas": 5}, (5, 5, 5)),
        ({"idle_timeout_s": 60.0}, (0, 2, 1)),
        ({"min_replicas": 0, "max_replicas": 4, "idle_timeout_s": 60.0}, (0, 4, 1)),
    ],
)
def test_what_was_not_said_follows_from_what_was(changes, found):
    made = changed(FIXED, changes)
    assert limits(made) == found
    assert made.timeout_s == 5.0
    assert all(value_of(made, name) == value for name, value in changes.items())


def test_a_fixed_number_ends_that_it_varies():
    varying = changed(FIXED, {"min_replicas": 0, "max_replicas": 8})
    assert value_of(varying, "replicas") is None
    fixed = changed(varying, {"replicas": 3})
    assert (fixed.scaling, limits(fixed)) == (None, (3, 3, 3))
    assert changed(varying, {"timeout_s": 9.0}).scaling == varying.scaling


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": 2, "max_replicas": 3},
        {"min_replicas": 4, "max_replicas": 2},
        {"min_replicas": -1},
        {"max_replicas": 0},
        {"max_replicas": 257},
        {"target_concurrency": 0.0},
        {"target_concurrency": float("nan")},
        {"target_latency_s": 0.0001},
        {"target_latency_s": 601.0},
        {"idle_timeout_s": 0.5},
        {"schedule": (Schedule(cron="0 8 * * *", min_replicas=2),)},
    ],
)
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(InvalidInput):
        changed(FIXED, changes)


wishes = st.dictionaries(st.sampled_from(["min_replicas", "max_replicas"]), st.integers(-1, 9)) | st.dictionaries(
    st.just("replicas"), st.integers(1, 9)
)


@given(st.lists(wishes, max_size=6))
def test_whatever_is_asked_for_in_turn_the_limits_make_sense(turns):
    config = RevisionConfig()
    for changes in turns:
        try:
            config = changed(config, changes)
        except InvalidInput:
            continue
        assert 0 <= config.least <= config.most
        assert config.least <= config.first <= config.most
        assert all(value_of(config, name) == value for name, value in changes.items())


def test_an_idle_timeout_may_be_left_to_the_platform():
    made = changed(FIXED, {"idle_timeout_s": AUTO})
    assert (made.least, made.scaling.idle_timeout_s) == (0, AUTO)


def test_a_target_is_of_concurrency_or_of_latency_and_the_later_one_holds():
    by_latency = changed(changed(FIXED, {"target_concurrency": 8.0}), {"target_latency_s": 0.05})
    assert (by_latency.scaling.target_latency_s, by_latency.scaling.target_concurrency) == (0.05, 2.0)
    by_concurrency = changed(by_latency, {"target_concurrency": 8.0})
    assert (by_concurrency.scaling.target_latency_s, by_concurrency.scaling.target_concurrency) == (0.0, 8.0)
    with pytest.raises(InvalidInput, match="A target latency excludes a target concurrency"):
        changed(FIXED, {"target_latency_s": 0.05, "target_concurrency": 8.0})


def test_every_field_of_a_scaling_can_be_changed():
    config = RevisionConfig()
    for name, value in {
        "min_replicas": 1, "max_replicas": 5, "target_concurrency": 4.0, "target_latency_s": 0.05, "idle_timeout_s": 9.0, "down_delay_s": 0.0,
        "buffer_replicas": 2, "wait_price": 20.0, "schedule": (Schedule(cron="0 8 * * *", min_replicas=2, for_s=3600.0),),
    }.items():  # fmt: skip
        config = changed(config, {name: value})
        assert value_of(config, name) == value
    assert set(OF_SCALING) == set(Scaling.__struct_fields__)
