"""Cgroups of both versions, against folders that look like them; the real ones are in the acceptance tests."""

from pathlib import Path

import pytest

from inferry.backends.cgroups import Limits, find

ALL = Limits(memory=200 << 20, cpus=0.5, processes=64)


def yes(_pid):
    return True


def kernel_file(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def old(tmp_path):
    """Version 1: a hierarchy for each controller, the memory one in a group of its own."""
    for place in ("memory/box", "cpu", "pids"):
        (tmp_path / place).mkdir(parents=True)
    lines = ["9:pids:/", "4:memory:/box", "2:cpu,cpuacct:/", "1:name=systemd:/", "0::/"]
    return find("inferry-x", yes, tmp_path, lines), tmp_path


@pytest.fixture
def new(tmp_path):
    """Version 2, in a group with two processes of the platform."""
    base = tmp_path / "app"
    kernel_file(base / "cgroup.controllers", "cpuset cpu io memory pids\n")
    kernel_file(base / "cgroup.procs", "10\n11\n")
    kernel_file(base / "cgroup.subtree_control")
    return base, tmp_path


def test_version_1_has_a_folder_for_each_controller(old):
    groups, root = old
    assert groups.note == "version 1: memory, cpu, pids"
    files = groups.make("a", ALL)
    assert files == tuple(str(root / place / "inferry-x/a/tasks") for place in ("memory/box", "cpu", "pids"))
    assert (root / "memory/box/inferry-x/a/memory.limit_in_bytes").read_text() == str(200 << 20)
    assert (root / "cpu/inferry-x/a/cpu.cfs_quota_us").read_text() == "50000"
    assert (root / "pids/inferry-x/a/pids.max").read_text() == "64"
    assert groups.make("b", Limits(processes=64)) == (str(root / "pids/inferry-x/b/tasks"),)


def test_version_1_tells_who_was_killed_for_memory(old):
    groups, root = old
    groups.make("a", ALL)
    told = kernel_file(
        root / "memory/box/inferry-x/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"
    )
    assert groups.killed("a") == ""
    told.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert groups.killed("a") == "killed: used more than memory_mb = 200"
    assert groups.killed("unknown") == ""


def test_version_2_moves_the_platform_aside_and_gives_limits_below_it(new):
    base, root = new
    groups = find("inferry-x", yes, root, ["0::/app"])
    assert groups.note == "version 2: cpu, memory, pids"
    assert (base / "platform/cgroup.procs").read_text() == "11", "one at a time, as the kernel wants it"
    assert (base / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (base / "inferry-x/cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert groups.make("a", ALL) == (str(base / "inferry-x/a/cgroup.procs"),)
    assert (base / "inferry-x/a/memory.max").read_text() == str(200 << 20)
    assert (base / "inferry-x/a/cpu.max").read_text() == "50000 100000"
    kernel_file(base / "inferry-x/a/memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n")
    assert groups.killed("a") == "killed: used more than memory_mb = 200"


def test_version_2_knows_that_it_was_moved_aside_before(new):
    base, root = new
    kernel_file(base / "cgroup.procs", "")
    groups = find("inferry-x", yes, root, ["0::/app/platform"])
    assert groups.make("a", ALL) == (str(base / "inferry-x/a/cgroup.procs"),)


def test_version_2_leaves_a_group_alone_that_others_are_in(new):
    base, root = new
    groups = find("inferry-x", lambda pid: pid == 10, root, ["0::/app"])
    assert not groups.works
    assert "processes of others" in groups.note
    assert groups.make("a", ALL) == ()
    assert not (base / "platform").exists()


def test_what_may_not_be_written_is_no_error(tmp_path):
    (tmp_path / "memory").write_text("a file, where nothing can be made")
    (tmp_path / "pids").mkdir()
    groups = find("inferry-x", yes, tmp_path, ["4:memory:/", "9:pids:/"])
    assert groups.note == "version 1: pids"
    assert not groups.limit_memory
    nothing = find("inferry-x", yes, tmp_path / "nowhere", ["0::/"])
    assert (nothing.works, nothing.note, nothing.make("a", ALL)) == (False, "no cgroups are mounted", ())


def test_groups_that_are_over_are_removed(old):
    groups, root = old
    groups.make("a", Limits(processes=64))
    (root / "pids/inferry-x/a/pids.max").unlink()  # the kernel's files go with their folder
    groups.remove("a")
    assert not (root / "pids/inferry-x/a").exists()
    (root / "pids/inferry-x/left").mkdir()
    groups.sweep({"kept"})
    assert list((root / "pids/inferry-x").iterdir()) == []
    groups.clear()
    assert not (root / "pids/inferry-x").exists()
