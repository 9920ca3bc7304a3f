import pytest

from inferry.policy.packing import Packing, choose_packing


@pytest.mark.parametrize(
    ("gain", "packing"),
    [(0.0, Packing.FIRST), (0.8, Packing.NEVER), (1.2, Packing.NEVER), (1.25, Packing.BEHIND), (3.0, Packing.BEHIND)],
)
def test_packing_follows_what_was_measured(gain, packing):
    assert choose_packing(gain) is packing
