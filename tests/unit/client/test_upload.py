"""The upload is a plain tar with only what belongs to the model, the same bytes each time."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

from inferry.client.upload import Entry, collect, tar
from inferry.errors import Conflict, InvalidInput, InvalidModel


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "model"
    for name in (
        "model.py",
        "deep/er/weights.bin",
        ".git/config",
        ".venv/x.py",
        "__pycache__/m.pyc",
        ".env",
        "deep/.DS_Store",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def names(path):
    return [entry.name for entry in collect(path, "artifact")]


def test_a_folder_is_sent_without_hidden_files_and_caches(folder):
    assert names(folder) == ["artifact/deep/er/weights.bin", "artifact/model.py"]


def test_a_file_is_sent_by_its_name(folder):
    assert names(folder / "model.py") == ["artifact/model.py"]


def test_tarfile_reads_what_is_written(folder):
    (folder / ("long-" * 30)).write_bytes(b"x" * 1000)
    (folder / "über.txt").write_text("ü")
    entries = collect(folder, "artifact")
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar(entries)))) as archive:
        read = {member.name: archive.extractfile(member).read() for member in archive}
        assert {(m.mtime, m.mode, m.uid, m.uname) for m in archive.getmembers()} == {(0, 0o644, 0, "")}
    assert read == {entry.name: entry.path.read_bytes() for entry in entries}


def test_the_bytes_do_not_depend_on_time_or_mode(folder):
    first = b"".join(tar(collect(folder, "artifact")))
    os.utime(folder / "model.py", (1, 1))
    (folder / "model.py").chmod(0o700)
    assert b"".join(tar(collect(folder, "artifact"))) == first


def test_links_inside_are_followed_and_links_out_refused(folder, tmp_path):
    (folder / "same.py").symlink_to("model.py")
    (folder / "also").symlink_to("deep")
    assert "artifact/same.py" in names(folder)
    assert "artifact/also/er/weights.bin" in names(folder)
    (tmp_path / "secret").write_text("s")
    (folder / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidModel, match="'out' is a link that leads out"):
        collect(folder, "artifact")


@pytest.mark.parametrize("target", ["nothing", ".", ".."])
def test_links_to_nothing_and_loops_are_refused(folder, target):
    (folder / "deep" / "loop").symlink_to(target)
    with pytest.raises(InvalidModel, match="'deep/loop' is a link"):
        collect(folder, "artifact")


def test_what_is_no_file_is_refused(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(InvalidModel, match="not a regular file"):
        collect(folder, "artifact")


def test_nothing_to_send_is_said(tmp_path):
    with pytest.raises(InvalidInput, match="There is no file or folder"):
        collect(tmp_path / "nothing", "artifact")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidModel, match="holds no files"):
        collect(tmp_path / "empty", "artifact")


@pytest.mark.parametrize("size", [3, 9])
def test_a_file_that_changes_while_it_is_sent_is_not_sent_half(tmp_path, size):
    path = tmp_path / "weights"
    path.write_bytes(b"12345")
    with pytest.raises(Conflict, match="changed while it was sent"):
        list(tar([Entry("artifact/weights", path, size)]))
