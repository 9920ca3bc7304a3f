"""Plugins: the tables that must say the same."""

import tomllib
from pathlib import Path

from inferry.bundles.formats.served import SERVED
from inferry.plugins import BUILT_IN

ROOT = Path(__file__).parents[2]


def test_the_entry_points_are_the_built_in_table():
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["entry-points"]
    assert {group: found for group, found in declared.items() if group.startswith("inferry.")} == BUILT_IN


def test_every_runtime_is_listed_for_people():
    assert SERVED.keys() == BUILT_IN["inferry.runtimes"].keys()
