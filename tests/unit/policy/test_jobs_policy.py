"""What an attempt's answer means for its job, and what the queue holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InferryError, Overloaded, TooLarge, Unavailable
from inferry.policy.jobs import MOST_LOSSES, PATIENCE_S, Limits, judge

STATUSES = st.sampled_from([0, 200, 201, 400, 401, 404, 408, 413, 415, 422, 429, 499, 500, 501, 502, 503, 504, 507])


def verdict(status, code="", retry_after=0.0, failures=0, attempts=5, losses=0, age_s=1.0, spread=0.5):
    return judge(status, code, retry_after, failures, attempts, losses, age_s, spread)


def test_an_answer_ends_the_job():
    assert verdict(200).end == "succeeded"


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422, 501])
def test_what_would_be_refused_again_is_given_up_at_once(status):
    assert verdict(status).end == "dead"


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_what_is_not_the_jobs_fault_never_counts_against_it(status):
    said = verdict(status, failures=4, retry_after=7.0)
    assert (said.end, said.failed, said.lost) == ("", False, False)
    assert said.wait_s >= 5


@pytest.mark.parametrize(("status", "code"), [(500, "model_failed"), (504, "deadline_exceeded"), (503, "replica_lost")])
def test_failures_are_tried_again_later_and_later_until_there_were_enough(status, code):
    waits = [verdict(status, code, failures=failures).wait_s for failures in range(4)]
    assert waits == sorted(waits)
    assert waits == [1, 2, 4, 8]
    assert verdict(status, code, failures=4).end == "dead"


def test_an_attempt_of_which_nothing_was_heard_is_made_again_but_not_for_ever():
    assert verdict(0).lost
    assert verdict(0, losses=MOST_LOSSES - 1).end == "dead"


def test_a_job_whose_endpoint_cannot_answer_is_given_up_after_a_day():
    assert verdict(503, age_s=PATIENCE_S + 1).end == "dead"


@given(STATUSES, st.integers(0, 9), st.integers(0, 30), st.floats(0, 1))
def test_every_verdict_either_ends_or_waits(status, failures, losses, spread):
    said = verdict(status, failures=failures, attempts=5, losses=losses, spread=spread)
    assert bool(said.end) != (said.wait_s > 0)


LIMITS = Limits(jobs=10, bytes=1000)


@pytest.mark.parametrize(
    ("size", "of_key", "of_all", "refusal"),
    [
        (10, (0, 0), (0, 0), None),
        (500, (0, 0), (0, 0), None),
        (501, (0, 0), (0, 0), TooLarge),
        (10, (5, 0), (5, 0), Overloaded),
        (10, (0, 495), (0, 495), Overloaded),
        (10, (0, 0), (10, 0), Unavailable),
        (10, (0, 0), (0, 995), Unavailable),
    ],
)
def test_the_queue_is_bounded_for_each_key_and_for_all(size, of_key, of_all, refusal):
    if refusal is None:
        LIMITS.admit(size, of_key, of_all)
        return
    with pytest.raises(InferryError) as caught:
        LIMITS.admit(size, of_key, of_all)
    assert type(caught.value) is refusal
    assert refusal is TooLarge or caught.value.retry_after
