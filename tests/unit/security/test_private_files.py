"""Private files."""

import errno
import os
import stat

import pytest

from inferry.errors import NotFound, StorageFull, UnsafeFile
from inferry.security.files import private_dir, read_private, write_private


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_is_made_private_with_its_parents(tmp_path):
    made = private_dir(tmp_path / "a" / "b")
    assert made.is_dir()
    assert mode(made) == 0o700


def test_an_open_folder_of_ours_is_tightened(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(0o755)
    assert mode(private_dir(folder)) == 0o700


def test_a_file_in_the_way_is_said(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(UnsafeFile, match="file where a folder"):
        private_dir(tmp_path / "x")


def test_written_files_are_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        write_private(tmp_path / "key", b"one")
    finally:
        os.umask(before)
    assert mode(tmp_path / "key") == 0o600
    assert read_private(tmp_path / "key") == b"one"


def test_replacing_is_atomic_and_leaves_nothing_behind(tmp_path):
    write_private(tmp_path / "key", b"one")
    (tmp_path / "key").chmod(0o644)
    write_private(tmp_path / "key", b"two")
    assert mode(tmp_path / "key") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_full_disk_keeps_the_old_content(tmp_path, monkeypatch):
    write_private(tmp_path / "key", b"one")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        write_private(tmp_path / "key", b"two")
    assert (tmp_path / "key").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_file_open_to_others_is_refused_with_the_command_that_mends_it(tmp_path, open_to):
    write_private(tmp_path / "key", b"one")
    (tmp_path / "key").chmod(open_to)
    with pytest.raises(UnsafeFile) as caught:
        read_private(tmp_path / "key")
    assert f"chmod 600 {tmp_path / 'key'}" in caught.value.help


def test_a_link_is_refused(tmp_path):
    write_private(tmp_path / "key", b"one")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(UnsafeFile, match="link"):
        read_private(tmp_path / "link")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(NotFound):
        read_private(tmp_path / "key")


def test_another_users_file_is_refused(tmp_path, monkeypatch):
    write_private(tmp_path / "key", b"one")
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UnsafeFile, match="another user"):
        read_private(tmp_path / "key")
    with pytest.raises(UnsafeFile, match="another user"):
        private_dir(tmp_path)
