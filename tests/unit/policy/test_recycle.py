"""Recycle: what counts as a leak."""

import pytest

from inferry.policy.recycle import worn

MB = 1_000_000


@pytest.mark.parametrize(
    ("settled", "now", "limit", "why"),
    [
        (100, 250, 0, ""),
        (100, 310, 0, "it grew from 100 MB to 310 MB"),
        (5, 60, 0, ""),
        (5, 70, 0, "it grew from 5 MB to 70 MB"),
        (100, 185, 200, "it holds 185 MB, near its limit of 200 MB, and began with 100 MB"),
        (180, 190, 200, ""),
    ],
    ids=["twice", "three times", "little", "much for a little one", "near the limit", "always near the limit"],
)
def test_growth_counts_against_the_settled_size_and_the_limit(settled, now, limit, why) -> None:
    assert worn(settled * MB, now * MB, limit * MB) == why
