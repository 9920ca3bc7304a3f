"""Fixtures of all tests: `platform`, one for the session; `start_platform` for a test's own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.forge import Forge
from tests.support.platform import Platform
from tests.support.postgres import Server, missing

LIMITS = {"INFERRY_HEAD_TIMEOUT": "3", "INFERRY_BODY_TIMEOUT": "4", "INFERRY_INSPECT_TIMEOUT": "15"}
LONGEST = (
    "test_mlflow_registry.py", "test_torch.py", "test_keras.py", "test_huggingface.py", "test_packages.py",
    "test_faults.py", "test_mlflow_server.py", "test_peers.py", "test_bad_models.py", "test_git_push.py",
    "test_soak.py", "test_batch.py", "test_clients.py", "test_causal.py", "test_side_by_side.py",
)  # fmt: skip
"""Files that take minutes begin first, so that what is left at the end can be shared out."""


settings.register_profile("machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One cache of downloaded packages for all platforms of a run, whichever process starts them."""
    return {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(shared_folder(tmp_path_factory) / "package-cache")}


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test run share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory, package_cache: dict[str, str]) -> Forge:
    """Makes artifacts with their own frameworks. INFERRY_TEST_FORGE: a folder that keeps them between runs."""
    root = Path(os.environ.get("INFERRY_TEST_FORGE") or shared_folder(tmp_path_factory) / "forge")
    return Forge(root, package_cache["UV_CACHE_DIR"])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for the session. INFERRY_TEST_POSTGRES=required: fail, not skip, where there is none."""
    why = missing()
    if why:
        (pytest.fail if os.environ.get("INFERRY_TEST_POSTGRES") == "required" else pytest.skip)(why)
    server = Server()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres").emptied()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/inferry.db"


@pytest.fixture(scope="session")
def database_env(request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """The environment of a platform: SQLite in its home, or with INFERRY_TEST_DATABASE=postgres a new database there."""
    if os.environ.get("INFERRY_TEST_DATABASE", "sqlite") == "sqlite":
        return dict
    server: Server = request.getfixturevalue("postgres")
    return lambda: {"INFERRY_DATABASE_URL": server.fresh()}


@pytest.fixture(scope="session")
def platform(
    tmp_path_factory: pytest.TempPathFactory, package_cache: dict[str, str], database_env: Callable[[], dict[str, str]]
) -> Iterator[Platform]:
    """A running platform that tests share: each uses endpoint names of its own."""
    env = LIMITS | package_cache | database_env()
    claims = shared_folder(tmp_path_factory) / "names"
    running = Platform(tmp_path_factory.mktemp("platform") / "home", env=env, claims=claims)
    try:
        yield running.start()
    finally:
        running.close()


@pytest.fixture
def start_platform(
    tmp_path: Path, package_cache: dict[str, str], database_env: Callable[[], dict[str, str]]
) -> Iterator[Callable[..., Platform]]:
    """Makes platforms that a test may kill: `start_platform("--flag")`; all are closed after it."""
    made: list[Platform] = []

    def start(*arguments: str, env: dict[str, str] | None = None) -> Platform:
        variables = package_cache | database_env() | (env or {})
        made.append(Platform(tmp_path / f"home-{len(made)}", *arguments, env=variables))
        return made[-1].start()

    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a session's model files are made."""
    return tmp_path_factory.mktemp("models")
