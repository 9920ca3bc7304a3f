"""Threads: how many processor threads a replica's prediction may use."""

import pytest

from inferry.policy.threads import choose_threads, choose_workers


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
    ("asked", "cores", "replicas", "batch_rows", "workers"),
    [
        (0, 8, 1, 64, 1),  # one call at a time gets the largest batches
        (0, 8, 1, 1, 8),
        (0, 8, 2, 1, 4),
        (4, 8, 1, 1, 2),  # each call uses four
        (0, 2, 5, 1, 1),
    ],
)
def test_calls_run_at_the_same_time_where_batching_does_not_pay(asked, cores, replicas, batch_rows, workers):
    assert choose_workers(asked, cores, replicas, batch_rows) == workers
