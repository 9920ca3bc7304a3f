"""A builder killed at any moment: nothing half made is taken as whole, and the next build succeeds."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferry.environments.builder import Environments, locate_uv

pytestmark = pytest.mark.slow

SOURCE = str(Path(__file__).parents[3] / "src")
MANY = [f"many{number}" for number in range(40)]
BUILD = """
import sys
from pathlib import Path
from inferry.environments.builder import Environments
from inferry.environments.pip_settings import PipSettings
root, uv, cache, home, links = sys.argv[1:6]
settings = PipSettings(home=Path(home), find_links=(links,), no_index=True)
made = Environments(Path(root), uv, sys.executable, settings, cache=Path(cache))
say = lambda message: print(message, flush=True)
made.ensure(made.lock(sys.argv[6:], say), say)
print("whole", flush=True)
"""


def quiet(message):
    pass


@pytest.fixture
def start(tmp_path, wheels):
    started = []

    def begin(uv=None, requirements=MANY):
        arguments = [str(tmp_path / "envs"), uv or locate_uv(), str(tmp_path / "cache"), str(tmp_path), str(wheels)]
        process = subprocess.Popen(
            [sys.executable, "-c", BUILD, *arguments, *requirements],
            env={"PYTHONPATH": SOURCE, "PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.stdout.close()
        process.kill()
        process.wait()


def test_a_killed_group_leaves_nothing_whole_and_the_next_build_succeeds(start, offline, ask, tmp_path):
    interrupted, chance = 0, random.Random(7)
    for longest in [0.3] * 6 + [0.1] * 20:  # a slow look, or a quick build, and it is whole before the kill
        if interrupted >= 3:
            break
        process = start()
        while not list((tmp_path / "envs" / "building").iterdir()) and process.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, longest))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for digest in offline.digests():
            assert ask(offline.python(digest), "import many39.m19, numpy; print(many39.m19.X)") == "19"
        interrupted += len(offline.sweep())
        offline.remove_unused(set())
    assert interrupted >= 3
    python = offline.ensure(offline.lock(MANY, quiet), quiet)
    assert ask(python, "import many0, many39.m19; print(many39.VERSION)") == "1.0"
    assert offline.sweep() == []


def test_the_next_builder_waits_for_the_uv_of_a_killed_one(start, offline, ask, tmp_path, ours):
    slow = tmp_path / "slow-uv"
    begun, done = tmp_path / "orphan-begun", tmp_path / "orphan-done"
    slow.write_text(f"""#!/bin/sh
if [ "$2" = install ]; then
    touch {begun}; sleep 1.5; "{locate_uv()}" "$@"; touch {done}; exit 0
fi
exec "{locate_uv()}" "$@"
""")
    slow.chmod(0o755)
    process = start(uv=str(slow), requirements=["tiny==1.0"])
    while not begun.exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not done.exists()
    assert offline.digests() == []
    assert offline.sweep() == []  # its uv is still at it
    said = []
    python = offline.ensure(offline.lock(["tiny==1.0"], said.append), said.append)
    assert done.exists()
    assert said == ["waiting for another build of the same environment", f"installing {len(ours) + 1} packages"]
    assert ask(python, "import tiny; print(tiny.VERSION)") == "1.0"


def test_processes_build_the_same_environment_once(start, offline, ours):
    processes = [start(requirements=["tiny==2.0"]) for _ in range(3)]
    said = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert all(lines[-1] == "whole" for lines in said)
    assert sum(f"installing {len(ours) + 1} packages" in lines for lines in said) == 1
    assert len(offline.digests()) == 1


def test_two_roots_share_one_cache(offline, configured, ask, tmp_path):
    other = Environments(tmp_path / "other", locate_uv(), sys.executable, configured, cache=tmp_path / "cache")
    one = offline.ensure(offline.lock(["tiny==1.0"], quiet), quiet)
    two = other.ensure(other.lock(["tiny==1.0"], quiet), quiet)
    inode = "import tiny, os; print(os.stat(tiny.__file__).st_ino)"
    assert one != two
    assert ask(one, inode) == ask(two, inode)
