"""Every kind of artifact and package, wrong and hostile, by the command line: exit code 1, words, and nothing left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inferry.cli.main import run
from tests.support import uploads
from tests.support.kinds import KINDS, RUNS, Files
from tests.support.platform import Platform
from tests.support.refusals import sentences

FILES = [kind for kind, sort in KINDS.items() if len(sort.files) == 1 and kind not in {"pickle", "packed pickle"}]
OWN_ENVIRONMENT = {"skops"}
ALL = [pytest.param(kind, marks=[pytest.mark.slow] if kind in OWN_ENVIRONMENT else []) for kind in KINDS]


def deploy(
    platform: Platform, root: Path, files: Files, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, str]]:
    """`inferry deploy`: its exit code and its error."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    lone = root / next(iter(files))
    given = lone if list(root.iterdir()) == [lone] else root
    options = ["--url", platform.control, "--key", platform.key]
    capsys.readouterr()
    code = run([*options, "deploy", str(given), "--name", "bad-kind", "--json"])
    return code, json.loads(capsys.readouterr().out).get("error", {})


def said(error: dict[str, str], sent: bytes) -> None:
    sentences(error["message"], error["help"], sent)


@pytest.mark.parametrize("kind", ALL)
def test_wrong_and_hostile_ones_are_refused_and_leave_nothing(
    platform: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    wrong = []
    for number, (case, bad) in enumerate(KINDS[kind].bad().items()):
        code, error = deploy(platform, tmp_path / str(number), bad.files, capsys)
        words = f"{error.get('message')} {error.get('help')}"
        if (code, error.get("code")) != (1, bad.code) or not any(one in words for one in bad.says.split("|")):
            wrong.append(f"{case}: exit {code}, {error}")
        said(error, b"".join(bad.files.values()))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", FILES)
def test_a_pickle_under_any_name_runs_in_the_sandbox_only(
    platform: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    code, error = deploy(platform, tmp_path, {KINDS[kind].entry: RUNS}, capsys)
    assert (code, error["code"]) == (1, "invalid_model")
    said(error, RUNS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_in_a_folder_is_not_followed(
    platform: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Neither by the command line, nor by the platform for a client that sends one."""
    sort = KINDS[kind]
    entry = tmp_path / sort.entry
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.symlink_to("/etc/passwd")
    files = {name: data for name, data in {**sort.files, "notes.txt": b"x"}.items() if name != sort.entry}
    code, error = deploy(platform, tmp_path, files, capsys)
    assert (code, error["code"]) == (1, "invalid_model")
    assert "is a link that leads out of the folder" in error["message"]
    state = uploads.deploy(platform, "bad-kind", uploads.odd_tar(f"artifact/{sort.entry}", b"2", "/etc/passwd"))
    assert "holds a symbolic link" in state["error"]["message"]
