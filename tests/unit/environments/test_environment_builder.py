"""The builder with a stand-in for uv: what is kept, what is never taken as complete, who waits for whom."""

import errno
import os
import stat
import sys
import threading
import time

import pytest

from inferry.environments import builder
from inferry.environments.builder import Environments, locate_uv
from inferry.environments.locks import BASE, PLATFORM_LOCK, count_packages, make_lock
from inferry.environments.pip_settings import PipSettings
from inferry.errors import EnvironmentFailed, NotFound, StorageFull

HASH = "--hash=sha256:" + "a" * 64
UV = """#!{python}
import os, pathlib, sys, time
here = pathlib.Path({here!r})
command = sys.argv[1:]
with (here / "calls").open("a") as log:
    log.write(" ".join(command) + "\\n")
step = "venv" if command[0] == "venv" else command[1]
if (here / f"fail-{{step}}").exists():
    sys.stderr.write((here / f"fail-{{step}}").read_text())
    sys.exit(2)
if step == "compile":
    print("".join(f"{{line.partition('>')[0]}}==1.0 {hash}\\n" for line in sys.stdin.read().splitlines() if line))
elif step == "venv":
    folder = pathlib.Path(command[-4])
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
else:
    time.sleep(float((here / "slow").read_text()) if (here / "slow").exists() else 0)
"""


@pytest.fixture
def here(tmp_path):
    path = tmp_path / "uv"
    path.write_text(UV.format(python=sys.executable, here=str(tmp_path), hash=HASH))
    path.chmod(0o755)
    return tmp_path


@pytest.fixture
def made(here):
    return Environments(here / "envs", str(here / "uv"), sys.executable, PipSettings(home=here))


def calls(here):
    return (here / "calls").read_text().splitlines() if (here / "calls").exists() else []


def quiet(message):
    pass


def test_no_requirements_means_the_platforms_own_python(made, here):
    lock = made.lock(["# nothing", ""], quiet)
    assert lock is PLATFORM_LOCK
    assert str(made.ensure(lock, quiet)) == str(made.python("platform")) == sys.executable
    assert calls(here) == []


def test_the_same_requirements_give_the_same_lock_without_resolving_again(made, here):
    said = []
    one = made.lock(["tiny", "other>=1"], said.append)
    two = made.lock(["other>=1", "# comment", "tiny"], said.append)
    assert one == two
    assert said == ["resolving 2 requirements"]
    assert len(calls(here)) == 1
    assert [line.split("==")[0] for line in one.text.splitlines() if "==" in line] == [
        "msgspec",
        "numpy",
        "other",
        "pysimdjson",
        "tiny",
    ]
    (kept,) = (here / "envs" / "locks").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_ensure_builds_once(made, here):
    said = []
    lock = made.lock(["tiny"], quiet)
    python = made.ensure(lock, said.append)
    assert python == here / "envs" / lock.digest / "bin" / "python"
    assert made.ensure(lock, said.append) == made.python(lock.digest) == python
    assert said == [f"installing {len(BASE) + 1} packages"]
    assert made.digests() == [lock.digest]
    assert [call.split()[0] for call in calls(here)] == ["pip", "venv", "pip"]
    assert list((here / "envs" / "building").iterdir()) == []


def test_every_command_installs_wheels_only_by_hash_and_reads_no_other_configuration(made, here):
    made.ensure(made.lock(["tiny"], quiet), quiet)
    compiled, environment, installed = calls(here)
    assert "--only-binary :all:" in compiled
    assert "--generate-hashes" in compiled
    assert "--relocatable" in environment
    assert "--require-hashes --no-deps" in installed
    assert "--only-binary :all:" in installed
    assert all("--no-config" in call for call in (compiled, environment, installed))


def test_a_failed_build_leaves_nothing_and_can_be_tried_again(made, here):
    lock = made.lock(["tiny"], quiet)
    (here / "fail-install").write_text(
        "error: Failed to download `tiny==1.0`\n  cause: Hash mismatch for `tiny==1.0`\n"
    )
    with pytest.raises(EnvironmentFailed, match=r"tiny==1\.0 is not the one that was locked"):
        made.ensure(lock, quiet)
    assert made.digests() == []
    assert list((here / "envs" / "building").iterdir()) == []
    with pytest.raises(NotFound):
        made.python(lock.digest)
    (here / "fail-install").unlink()
    assert made.ensure(lock, quiet).exists()


def test_a_failed_lock_is_not_kept(made, here):
    (here / "fail-compile").write_text("error: No solution found\n Because tiny was not found in the package registry")
    with pytest.raises(EnvironmentFailed, match="no package named tiny"):
        made.lock(["tiny"], quiet)
    (here / "fail-compile").unlink()
    assert count_packages(made.lock(["tiny"], quiet)) == len(BASE) + 1


@pytest.mark.parametrize("step", ["compile", "venv", "install"])
def test_a_full_disk_in_uv_is_said(made, here, step):
    lock = made.lock(["tiny"], quiet)
    (here / f"fail-{step}").write_text("error: write failed: No space left on device (os error 28)")
    with pytest.raises(StorageFull):
        made.ensure(lock, quiet) if step != "compile" else made.lock(["more"], quiet)
    assert made.digests() == []


def test_a_full_disk_of_ours_is_said_and_nothing_is_kept(made, here, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(builder.os, "fsync", full)
    with pytest.raises(StorageFull):
        made.lock(["tiny"], quiet)
    assert list((here / "envs" / "locks").iterdir()) == []


def test_threads_and_instances_share_one_build(made, here):
    lock = made.lock(["tiny"], quiet)
    (here / "slow").write_text("0.4")
    said = []
    other = Environments(here / "envs", str(here / "uv"), sys.executable, PipSettings(home=here))
    threads = [threading.Thread(target=one.ensure, args=(lock, said.append)) for one in (made, other, made)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(call.startswith("venv") for call in calls(here)) == 1
    assert said.count(f"installing {len(BASE) + 1} packages") == 1
    assert "waiting for another build of the same environment" in said


def test_half_made_ones_are_swept_but_not_under_a_builder(made, here):
    lock = made.lock(["tiny"], quiet)
    half = here / "envs" / "building" / ("c" * 64)
    half.mkdir()
    (half / "lock.txt").write_text("")
    (here / "envs" / "building" / ("d" * 64 + ".beef")).mkdir()
    (here / "slow").write_text("0.6")
    builder_thread = threading.Thread(target=made.ensure, args=(lock, quiet))
    builder_thread.start()
    while not (here / "envs" / "building" / lock.digest / "lock.txt").exists():
        time.sleep(0.01)
    assert sorted(made.sweep()) == ["c" * 64, "d" * 64 + ".beef"]
    builder_thread.join()
    assert made.digests() == [lock.digest]


def test_an_environment_whose_python_is_gone_is_not_whole_and_is_built_again(made, here):
    lock = made.lock(["tiny"], quiet)
    python = made.ensure(lock, quiet)
    python.unlink()
    python.symlink_to("/no/such/python")
    assert made.digests() == []
    assert made.ensure(lock, quiet).exists()
    made.ensure(lock, quiet).unlink()
    assert made.sweep() == [lock.digest]
    assert not (here / "envs" / lock.digest).exists()


def test_unused_environments_are_removed_and_their_locks_stay(made, here):
    one, two = made.lock(["one"], quiet), made.lock(["two"], quiet)
    made.ensure(one, quiet)
    made.ensure(two, quiet)
    assert made.remove_unused({one.digest, "platform"}) == [two.digest]
    assert made.digests() == [one.digest]
    assert made.lock(["two"], quiet) == two
    assert made.ensure(two, quiet).exists()


def test_a_lock_for_another_python_or_with_another_digest_is_refused(made):
    lock = made.lock(["tiny"], quiet)
    with pytest.raises(EnvironmentFailed, match=r"locked for Python 3\.1"):
        made.ensure(make_lock(lock.text, (), "3.1"), quiet)
    changed = type(lock)(digest="../../x", text=lock.text, python=lock.python)
    with pytest.raises(EnvironmentFailed, match="digest does not fit"):
        made.ensure(changed, quiet)


def test_digests_are_never_paths(made):
    for digest in ("..", ".", "", "locks", "../envs", "building"):
        with pytest.raises(NotFound):
            made.python(digest)


def test_a_slow_uv_is_given_up(made, here, monkeypatch):
    lock = made.lock(["tiny"], quiet)
    (here / "slow").write_text("30")
    monkeypatch.setattr(builder, "TIME_LIMIT_S", 0.5)
    with pytest.raises(EnvironmentFailed, match="took more than"):
        made.ensure(lock, quiet)
    assert made.digests() == []


def test_a_missing_uv_is_said(here):
    made = Environments(here / "envs", str(here / "nowhere"), sys.executable, PipSettings(home=here))
    with pytest.raises(EnvironmentFailed, match="uv could not be started"):
        made.lock(["tiny"], quiet)


def test_uvs_own_program_is_found():
    assert os.access(locate_uv(), os.X_OK)


def test_a_held_environment_stays_though_no_version_needs_it(made, here):
    lock = made.lock(["tiny"], quiet)
    serving = Environments(here / "envs", str(here / "uv"), sys.executable, PipSettings(home=here))
    serving.hold(lock.digest)
    made.ensure(lock, quiet)
    serving.hold("platform")
    assert made.remove_unused(set()) == []
    assert made.digests() == [lock.digest]


def test_hosts_with_and_without_a_gpu_keep_their_locks_apart(made, here):
    lean = Environments(here / "envs", str(here / "uv"), sys.executable, PipSettings(home=here), nvidia=False)
    made.lock(["tiny"], quiet)
    lean.lock(["tiny"], quiet)
    assert len(calls(here)) == 2
