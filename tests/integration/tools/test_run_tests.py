"""tools/run-tests: what fails once is named and passes, and what fails twice never does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAD = """
import os
import pathlib
import pytest

def before(name):
    marker = pathlib.Path(__file__).with_name(name + ".ran")
    found = marker.exists()
    marker.touch()
    return found

"""
ONCE = "def test_once():\n    assert before('once')\n"
GOOD = "def test_good():\n    pass\n"
BAD = "def test_bad():\n    assert False\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a project of these files in it, with two workers."""

    def start(*arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(HEAD + text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "INFERRY_"))}
        env |= {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHON": sys.executable,
            "INFERRY_TEST_FLAKY": str(tmp_path / "flaky"),
        }
        return subprocess.run(
            [ROOT / "tools/run-tests", "-q", "-p", "xdist", *arguments], cwd=tmp_path, env=env,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return start


def flaky(folder: Path) -> list[str]:
    kept = folder / "flaky"
    return sorted(kept.read_text().splitlines()) if kept.exists() else []


def test_what_passes_the_second_time_is_named_and_nothing_else_runs_again(run: Run, tmp_path: Path) -> None:
    counted = "def test_good():\n    assert not before('good')\n"
    torn = "@pytest.fixture\ndef torn():\n    yield\n    assert before('torn')\n\ndef test_torn(torn):\n    pass\n"
    done = run("-n", "2", once=ONCE, good=counted, torn=torn)
    assert done.returncode == 0, done.stdout + done.stderr
    assert flaky(tmp_path) == ["flaky: test_once.py::test_once", "flaky: test_torn.py::test_torn"]
    assert "flaky: test_once.py::test_once" in done.stdout.splitlines()
    assert run("-n", "2").returncode != 0  # test_good has run before: nothing is remembered of the first time


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(BAD, id="fails"),
        pytest.param("def test_bad():\n    os._exit(3)\n", id="ends its process"),
        pytest.param(
            "def test_bad():\n    if before('bad'):\n        pytest.skip('no')\n    assert 0\n", id="is left out"
        ),
        pytest.param("if not before('bad'):\n    def test_bad():\n        assert 0\n", id="is not there any more"),
    ],
)
def test_what_does_not_pass_the_second_time_fails(run: Run, bad: str) -> None:
    assert run("-n", "1", once=ONCE, bad=bad, good=GOOD).returncode != 0


def test_stopping_at_the_first_failure_leaves_no_test_out(run: Run, tmp_path: Path) -> None:
    done = run("-x", a=ONCE, b=BAD)
    assert done.returncode == 1
    assert flaky(tmp_path) == ["flaky: test_a.py::test_once"]


def test_a_run_that_failed_as_a_whole_is_not_run_again(run: Run, tmp_path: Path) -> None:
    many = "@pytest.mark.parametrize('n', range(11))\ndef test_many(n):\n    assert before(f'many-{n}')\n"
    too_many = run("-n", "2", many=many, good=GOOD)
    assert too_many.returncode == 1
    assert "too many to run them again" in too_many.stdout
    assert run("-n", "2", once=ONCE, broken="assert before('broken')\n").returncode == 1
    assert run("-k", "nothing").returncode == 5
    assert flaky(tmp_path) == []
