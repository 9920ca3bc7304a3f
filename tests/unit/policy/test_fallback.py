"""When a revision is given up for the one before."""

import pytest

from inferry.policy.fallback import due


@pytest.mark.parametrize(
    ("age_s", "deaths", "why", "given_up"),
    [
        (30, 3, "exit code 139", True),
        (899, 5, "killed: used more than memory_mb = 200", True),
        (30, 2, "exit code 139", False),
        (901, 9, "exit code 139", False),
        (30, 9, "signal SIGKILL: out of memory, or killed by hand", False),
    ],
)
def test_only_a_young_revision_whose_replicas_die_by_themselves_is_given_up(age_s, deaths, why, given_up):
    assert due(age_s, deaths, why) is given_up
