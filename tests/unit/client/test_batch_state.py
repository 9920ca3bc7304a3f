"""What a killed run leaves of a file's parts, and what the next run makes of it."""

import shutil

import pytest

from inferry.client.batch.state import Input, Manifest, Part, State

WANTED = Manifest(endpoint="m", input=Input(name="rows.csv", size=10, modified=1), columns=("y",))
WHOLE = Manifest(endpoint="m", input=WANTED.input, columns=("y",), parts=(Part(rows=2, errors=0),) * 3, whole=True)


class Killed(BaseException):
    """Nothing is done after it."""


def a_run_that_is_killed_while_it_tidies_up(target, monkeypatch):
    state = State(target)
    state.open(WANTED, overwrite=False)
    for number in range(3):
        state.part(number).write_text("part")
    state.keep(WHOLE)
    target.write_text("whole")

    def removes_one(folder, **_):
        for part in sorted(folder.glob("part-*"))[:1]:
            part.unlink()
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", removes_one)
        with pytest.raises(Killed):
            state.close(WHOLE)
    state.close(None)  # as the end of a process lets go of its lock


def test_killed_while_it_removes_the_parts_it_is_done_all_the_same(tmp_path, monkeypatch):
    target = tmp_path / "out.jsonl"
    a_run_that_is_killed_while_it_tidies_up(target, monkeypatch)
    assert State(target).finished(WANTED) == WHOLE
    assert {path.name for path in tmp_path.iterdir()} == {"out.jsonl", ".out.jsonl.manifest.json"}


def test_what_was_half_removed_is_not_gone_on_with_when_it_is_done_anew(tmp_path, monkeypatch):
    target = tmp_path / "out.jsonl"
    a_run_that_is_killed_while_it_tidies_up(target, monkeypatch)
    state = State(target)
    assert state.open(WANTED, overwrite=True) == WANTED
    state.part(0).write_text("part")
    state.close(WHOLE)
    assert {path.name for path in tmp_path.iterdir()} == {"out.jsonl", ".out.jsonl.manifest.json"}
