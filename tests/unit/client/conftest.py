"""A fake platform, and clients of it."""

from __future__ import annotations

import pytest

from inferry.client import Client
from inferry.client.settings import Settings
from tests.support.fake_platform import KEY, FakePlatform


@pytest.fixture
def fake():
    with FakePlatform() as platform:
        yield platform


@pytest.fixture
def settings(fake, tmp_path):
    return Settings(home=tmp_path, control=fake.control, http=fake.http, key=KEY)


@pytest.fixture
def client(settings):
    with Client(settings, timeout=5) as client:
        yield client
