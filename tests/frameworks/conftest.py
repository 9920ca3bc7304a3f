"""The framework tests' platforms: one for each process of the session, with one folder of environments for all, so
that each is built once; all tests are marked."""

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
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the platforms of all processes have their environments."""
    return shared_folder(tmp_path_factory) / "envs"


@pytest.fixture(scope="session")
def platform(
    tmp_path_factory: pytest.TempPathFactory, package_cache: dict[str, str], environments: Path
) -> Iterator[Platform]:
    """A running platform with the default limits: importing a heavy framework takes its time."""
    claims = shared_folder(tmp_path_factory) / "names"
    running = Platform(tmp_path_factory.mktemp("frameworks") / "home", env=package_cache, claims=claims)
    try:
        running.start()
        running.share_environments(environments)
        yield running
    finally:
        running.close()
