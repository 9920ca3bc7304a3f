"""Threads: how many processor threads a replica's prediction may use, and which way is quicker now."""

import pytest

from inferry.policy.threads import RARELY, SOON, TRIES, Ways, choose_threads, choose_workers, threads_to_try


@pytest.mark.parametrize(
    ("asked", "cores", "replicas", "gain", "threads"),
    [
        (0, 8, 1, 0.0, 1),  # nothing was measured: one
        (0, 8, 1, 1.1, 1),  # all cores hardly help
        (0, 8, 1, 3.0, 8),
        (0, 8, 2, 3.0, 4),
        (0, 8, 3, 3.0, 2),
        (0, 2, 5, 1.9, 1),  # more replicas than cores
        (3, 8, 8, 0.0, 3),  # said is said
    ],
)
def test_replicas_share_the_cores_when_threads_pay(asked, cores, replicas, gain, threads):
    assert choose_threads(asked, cores, replicas, gain) == threads


@pytest.mark.parametrize(
    ("asked", "cores", "replicas", "saving", "gain", "workers"),
    [
        (0, 8, 1, 1.0, 0.0, 8),
        (0, 8, 2, 1.0, 0.0, 4),
        (4, 8, 1, 1.0, 0.0, 2),  # each call uses four
        (0, 2, 5, 1.0, 0.0, 1),
        (0, 8, 1, 1.0, 8.0, 8),  # nothing to wait for
        (0, 2, 1, 7.0, 0.0, 1),  # one call at a time gets the largest batches
        (0, 8, 1, 7.0, 0.0, 8),  # which are no match for eight cores
        (0, 8, 1, 7.0, 3.0, 1),  # but with eight threads each they are
        (8, 8, 1, 7.0, 3.0, 1),
        (1, 8, 1, 7.0, 3.0, 8),  # of which this may have one
        (0, 2, 1, 1.27, 1.56, 2),  # a slow moment's doing, or hardly more than that
    ],
)
def test_calls_run_at_the_same_time_where_batches_would_not_do_more(asked, cores, replicas, saving, gain, workers):
    assert choose_workers(asked, cores, replicas, saving, gain) == workers


@pytest.mark.parametrize(("saving", "workers"), [(1.0, 8), (1.3, 1), (7.0, 1)])
def test_a_gpu_gets_one_call_at_a_time_where_batches_pay_at_all(saving, workers):
    assert choose_workers(0, 8, 1, saving, on_cpu=False) == workers


@pytest.mark.parametrize(
    ("asked", "cores", "replicas", "gain", "tried"),
    [(0, 8, 1, 0.0, 0), (0, 8, 1, 0.7, 8), (0, 8, 2, 3.0, 4), (3, 8, 1, 3.0, 0), (0, 2, 5, 1.9, 1)],
)
def test_threads_are_tried_where_they_may_matter_and_were_not_told(asked, cores, replicas, gain, tried):
    assert threads_to_try(asked, cores, replicas, gain) == tried


def calls(ways, number, many_s, one_s, shape=(1, 4)):
    """How many of these calls took many threads."""
    took = 0
    for _ in range(number):
        many = ways.next(shape)
        ways.took(shape, many_s if many else one_s, many=many)
        took += many
    return took


@pytest.mark.parametrize("many", [True, False])
def test_the_quicker_way_is_found_and_kept(many):
    ways = Ways(many=many)
    calls(ways, (TRIES + 1) * SOON, 2.7, 3.5)
    assert ways.many
    assert calls(ways, 100 * RARELY, 2.7, 3.5) >= 99 * RARELY


def test_a_machine_that_becomes_busy_and_free_again_is_followed():
    ways = Ways(many=True)
    calls(ways, 20 * RARELY, 2.7, 3.5)
    assert ways.many
    calls(ways, (TRIES + 2) * SOON, 4.7, 3.5)
    assert not ways.many, "what calls take drifted, so it was tried again soon"
    calls(ways, 20 * RARELY, 4.7, 3.5)
    assert not ways.many
    calls(ways, RARELY + TRIES * (SOON + 2), 2.7, 3.5)
    assert ways.many, "a try that found something was soon repeated"


def test_ways_that_are_alike_do_not_change_places():
    ways = Ways(many=False)
    calls(ways, 50 * RARELY, 3.2, 3.5)
    assert not ways.many


def test_calls_are_compared_with_calls_of_their_shape():
    ways = Ways(many=True)
    for number in range(40 * RARELY):
        rows = number % 7 + 1
        calls(ways, 1, rows * 1.0, rows * 1.3, shape=(rows, 4))
    assert ways.many


def test_many_shapes_are_not_remembered():
    ways = Ways(many=True)
    for number in range(10_000):
        calls(ways, 1, 1.0, 0.1, shape=(number, 4))
    assert len(ways._usual) <= 16
    assert ways._usual.keys() == ways._then.keys()


def test_the_first_call_of_a_try_warms_up_also_when_it_comes_sooner_than_was_planned():
    ways = Ways(many=True)
    calls(ways, 20 * RARELY, 2.7, 3.5)
    taken = []
    for _ in range(SOON // 2):  # what calls take drifts, so the next try is not as far away
        taken.append(ways.next((1, 4)))
        ways.took((1, 4), 4.7 if taken[-1] else 3.5, many=taken[-1])
    assert taken.count(False) == 2
    first = taken.index(False)
    assert not taken[first + 1], "the second of two calls, one after the other, is the one that is compared"
