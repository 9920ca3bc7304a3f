"""Fixtures of all tests: `platform`, one for the session; `start_platform` for a test's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.platform import Platform

LIMITS = {"INFERRY_HEAD_TIMEOUT": "3", "INFERRY_BODY_TIMEOUT": "4", "INFERRY_INSPECT_TIMEOUT": "15"}


settings.register_profile("machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("machine")


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One cache of downloaded packages for all platforms of a run, whichever process starts them."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return {"UV_CACHE_DIR": str(shared / "package-cache")}


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, package_cache: dict[str, str]) -> Iterator[Platform]:
    """A running platform that tests share: each uses endpoint names of its own."""
    running = Platform(tmp_path_factory.mktemp("platform") / "home", env=LIMITS | package_cache)
    try:
        yield running.start()
    finally:
        running.close()


@pytest.fixture
def start_platform(tmp_path: Path, package_cache: dict[str, str]) -> Iterator[Callable[..., Platform]]:
    """Makes platforms that a test may kill: `start_platform("--flag")`; all are closed after it."""
    made: list[Platform] = []

    def start(*arguments: str, env: dict[str, str] | None = None) -> Platform:
        made.append(Platform(tmp_path / f"home-{len(made)}", *arguments, env=package_cache | (env or {})))
        return made[-1].start()

    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a session's model files are made."""
    return tmp_path_factory.mktemp("models")
