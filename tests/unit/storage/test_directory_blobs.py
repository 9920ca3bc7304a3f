"""DirectoryBlobs: whole or not at all, under checked names."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from inferry.errors import InvalidName, NotFound, StorageFull
from inferry.storage import DirectoryBlobs

DIGEST = "ab" * 32


@pytest.fixture
def blobs(tmp_path):
    return DirectoryBlobs(tmp_path / "bundles")


def stage(tmp_path, text="weights"):
    staged = tmp_path / "staging" / "one"
    (staged / "artifact" / "deep").mkdir(parents=True)
    (staged / "manifest.json").write_text("{}")
    (staged / "artifact" / "deep" / "model.onnx").write_text(text)
    return staged


def test_an_adopted_directory_is_moved_under_its_digest(blobs, tmp_path):
    staged = stage(tmp_path)
    path = blobs.adopt(staged, DIGEST)
    assert (path / "artifact/deep/model.onnx").read_text() == "weights"
    assert not staged.exists()
    assert blobs.path(DIGEST) == path
    assert blobs.digests() == {DIGEST}


def test_what_is_there_already_is_kept(blobs, tmp_path):
    blobs.adopt(stage(tmp_path, "old"), DIGEST)
    staged = stage(tmp_path, "new")
    path = blobs.adopt(staged, DIGEST)
    assert (path / "artifact/deep/model.onnx").read_text() == "old"
    assert not staged.exists()


def test_losing_the_race_to_adopt_keeps_the_winner(blobs, tmp_path, monkeypatch):
    winner = blobs.adopt(stage(tmp_path, "old"), DIGEST)
    staged = stage(tmp_path, "new")
    monkeypatch.setattr(Path, "is_dir", lambda self: False)
    assert blobs.adopt(staged, DIGEST) == winner
    monkeypatch.undo()
    assert (winner / "artifact/deep/model.onnx").read_text() == "old"
    assert not staged.exists()


def test_deleting_twice_is_quiet_and_sharp(blobs, tmp_path):
    blobs.adopt(stage(tmp_path), DIGEST)
    blobs.delete(DIGEST)
    blobs.delete(DIGEST)
    assert blobs.digests() == set()
    with pytest.raises(NotFound):
        blobs.path(DIGEST)
    assert list((tmp_path / "bundles").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", "..", "../" + DIGEST, DIGEST.upper(), DIGEST[:-1], DIGEST + "\n", "x" * 64, "/" + DIGEST]
)
def test_only_digests_are_names(blobs, tmp_path, name):
    for call in (blobs.path, blobs.delete, lambda digest: blobs.adopt(tmp_path / "nothing", digest)):
        with pytest.raises(InvalidName):
            call(name)


def test_sweep_removes_leftovers_only(blobs, tmp_path):
    blobs.adopt(stage(tmp_path), DIGEST)
    (tmp_path / "bundles" / ".deleted-1" / "artifact").mkdir(parents=True)
    (tmp_path / "bundles" / "note.txt").write_text("?")
    assert blobs.sweep() == 2
    assert blobs.digests() == {DIGEST}
    assert blobs.sweep() == 0


def test_a_full_disk_is_said_to_be_full(blobs, tmp_path, monkeypatch):
    staged = stage(tmp_path)

    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(StorageFull, match="nothing was changed"):
        blobs.adopt(staged, DIGEST)
    assert blobs.digests() == set()


def test_the_directory_is_private(blobs, tmp_path):
    assert (tmp_path / "bundles").stat().st_mode & 0o777 == 0o700
