"""A fake platform, and the command line in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from inferry.cli.main import run
from tests.support.fake_platform import KEY, FakePlatform


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@pytest.fixture
def fake():
    with FakePlatform() as platform:
        yield platform


@pytest.fixture(autouse=True)
def environment(fake, tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("INFERRY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INFERRY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INFERRY_URL", fake.control)
    monkeypatch.setenv("INFERRY_API_KEY", KEY)


@pytest.fixture
def inferry(capsys):
    def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = run(arguments)
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def start():
    """A process of its own, for signals, pipes and imports."""

    def call(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        # A run in the background may hand SIGINT down as ignored; a person at a terminal does not.
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from inferry.cli.main import main; main()"
        )
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, "-c", code, *arguments], **{**pipes, **options})

    return call
