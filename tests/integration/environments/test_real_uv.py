"""Real uv builds from a folder of wheels: two versions side by side, failures, and a moved environment."""

import subprocess
import sys
from pathlib import Path

import pytest

from inferry.environments.builder import Environments, locate_uv
from inferry.environments.pip_settings import read_pip_settings
from inferry.errors import EnvironmentFailed

pytestmark = pytest.mark.slow


def quiet(message):
    pass


def test_two_versions_stand_side_by_side(offline, ask, ours):
    said = []
    pythons = [offline.ensure(offline.lock([f"tiny=={v}"], said.append), said.append) for v in ("1.0", "2.0")]
    assert [ask(python, "import tiny; print(tiny.VERSION)") for python in pythons] == ["1.0", "2.0"]
    assert said == ["resolving 1 requirement", f"installing {len(ours) + 1} packages"] * 2
    assert len(offline.digests()) == 2


def test_an_environment_works_where_it_was_moved_to(offline, ask):
    python = offline.ensure(offline.lock(["tiny==1.0"], quiet), quiet)
    folder = python.parent.parent
    assert ask(python, "import sys; print(sys.prefix)") == str(folder)
    assert Path(ask(python, "import tiny; print(tiny.where())")).is_relative_to(folder)
    script = folder / "bin" / "tiny-where"
    assert subprocess.run([script], capture_output=True, text=True).stderr.strip().startswith(str(folder))
    named = [path for path in folder.rglob("*") if path.suffix in {".py", ".cfg", ".pth"} or path == script]
    assert [path for path in named if "/building/" in path.read_text(encoding="utf-8", errors="replace")] == []


def test_modules_are_compiled_and_linked_from_the_cache(offline, ask):
    python = offline.ensure(offline.lock(["tiny==1.0"], quiet), quiet)
    packages = Path(ask(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    assert list((packages / "tiny" / "__pycache__").glob("*.pyc"))
    assert (packages / "tiny" / "__init__.py").stat().st_nlink > 1


def test_the_lock_pins_ours_and_theirs_by_hash_and_names_no_place(offline, wheels, ours):
    lock = offline.lock(["tiny"], quiet)
    pinned = [line.partition(" ")[0] for line in lock.text.splitlines() if not line.startswith(" ")]
    assert pinned == [*[f"{name}==99.0" for name in ours], "tiny==2.0"]
    assert lock.text.count("--hash=sha256:") == len(pinned)
    assert str(wheels) not in lock.text
    assert lock.python == f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize(
    ("requirements", "sentence"),
    [
        (["tiny==3.0"], "There is no version that fits tiny==3.0"),
        (["absent"], "There is no package named absent"),
        (["tiny<1.5", "tiny>1.5"], "These cannot be installed together: tiny<1.5, tiny>1.5."),
        (
            ["needs-old", "tiny==2.0"],
            "These cannot be installed together: needs-old, tiny==2.0 (needs-old needs tiny<2).",
        ),
        (["needs-future"], "needs-future==1.0 needs Python >=3.99 and this platform runs 3."),
    ],
)
def test_failures_name_the_package_and_the_reason(offline, requirements, sentence):
    with pytest.raises(EnvironmentFailed) as caught:
        offline.lock(requirements, quiet)
    assert sentence in caught.value.sentence()
    assert offline.digests() == []


def test_an_index_that_cannot_be_reached_is_said(tmp_path):
    settings = read_pip_settings({"PIP_INDEX_URL": "http://127.0.0.1:9/simple"}, tmp_path, etc=tmp_path)
    made = Environments(tmp_path / "envs", locate_uv(), sys.executable, settings)
    with pytest.raises(EnvironmentFailed, match=r"The package index cannot be used for .*: no connection"):
        made.lock(["tiny"], quiet)


def test_a_source_distribution_is_never_built(offline, wheels, tmp_path):
    marker = tmp_path / "built"
    source = tmp_path / "source" / "evil-1.0"
    source.mkdir(parents=True)
    (source / "setup.py").write_text(
        f"open({str(marker)!r}, 'w')\nfrom setuptools import setup\nsetup(name='evil', version='1.0')\n"
    )
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    archive = wheels / "evil-1.0.tar.gz"
    subprocess.run(["tar", "czf", archive, "-C", source.parent, "evil-1.0"], check=True)
    try:
        with pytest.raises(EnvironmentFailed, match=r"evil(==1\.0)? has no ready-made wheel"):
            offline.lock(["evil"], quiet)
    finally:
        archive.unlink()
    assert not marker.exists()


def test_a_wheel_that_changed_after_locking_is_refused(tmp_path, make_wheel, ours):
    links = tmp_path / "links"
    for name in ours:
        make_wheel(links, name, "99.0")
    wheel = make_wheel(links, "swapped", "1.0")
    settings = read_pip_settings({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links)}, tmp_path, etc=tmp_path)
    made = Environments(tmp_path / "envs", locate_uv(), sys.executable, settings, cache=tmp_path / "one")
    lock = made.lock(["swapped"], quiet)
    wheel.unlink()
    make_wheel(links, "swapped", "1.0", files={"swapped/evil.py": "x = 1\n"})
    again = Environments(tmp_path / "envs", locate_uv(), sys.executable, settings, cache=tmp_path / "two")
    with pytest.raises(EnvironmentFailed, match=r"swapped==1\.0"):
        again.ensure(lock, quiet)
    assert again.digests() == []


def test_two_releases_of_scikit_learn_answer_side_by_side(online, ask):
    code = "import sklearn, sklearn.linear_model as m; m.Ridge().fit([[0], [1]], [0, 2]); print(sklearn.__version__)"
    versions = ("1.5.2", "1.6.1")
    pythons = [online.ensure(online.lock([f"scikit-learn=={v}"], quiet), quiet) for v in versions]
    assert [ask(python, code) for python in pythons] == list(versions)
    for python in pythons:
        assert ask(python, "import msgspec, numpy; print('ours')") == "ours"
