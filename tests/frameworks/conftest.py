"""The framework tests' platform: one for the session, so that an environment is built once; all are marked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import shared_folder
from tests.support.platform import Platform


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.frameworks)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, package_cache: dict[str, str]) -> Iterator[Platform]:
    """A running platform with the default limits: importing a heavy framework takes its time."""
    claims = shared_folder(tmp_path_factory) / "names"
    running = Platform(tmp_path_factory.mktemp("frameworks") / "home", env=package_cache, claims=claims)
    try:
        yield running.start()
    finally:
        running.close()
