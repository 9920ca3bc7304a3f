"""Models pinned to versions of one library that cannot share a process, served at the same time."""

from __future__ import annotations

import sys

import pytest

from tests.support.forge import served

OLD = pytest.mark.skipif(sys.version_info >= (3, 13), reason="scikit-learn 1.3 has no wheels for Python 3.13")


@OLD
def test_two_versions_of_scikit_learn_and_numpy_1_beside_numpy_2_serve_together(platform, forge):
    made = {name: forge.make(f"sklearn_{name}") for name in ("old", "new")}
    for name, forged in made.items():
        platform.deploy(forged.artifact, f"side-{name}", "--native", sample=forged.sample)
    pinned = {}
    for name, forged in made.items():
        served(platform, f"side-{name}", forged)
        version = platform.call("GET", f"/v1/models/side-{name}/versions/1", control=True).json()
        bundle = platform.home / "bundles" / version["bundle"]
        lock = (bundle / "environment" / "lock.txt").read_text()
        pinned[name] = dict(line.split(" ")[0].split("==") for line in lock.splitlines() if "==" in line)
    assert pinned["old"]["scikit-learn"] == "1.3.2"
    assert pinned["new"]["scikit-learn"] == "1.7.2"
    assert pinned["old"]["numpy"].startswith("1.")
    assert pinned["new"]["numpy"].startswith("2.")
    assert len(platform.replica_pids()) >= 2
