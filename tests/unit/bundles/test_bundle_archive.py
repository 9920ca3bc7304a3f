"""Archives: what is honest comes out whole, what is hostile comes out as a refusal."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.bundles import archive
from inferry.bundles.archive import Limits, extract_packed_tar, extract_tar, extract_zip, unwrap
from inferry.errors import InferryError, InvalidModel, StorageFull, TooLarge


def tar_of(*entries, format=tarfile.PAX_FORMAT):
    """Entries are (name, bytes) or TarInfo."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as packed:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                packed.addfile(entry)
                continue
            info = tarfile.TarInfo(entry[0])
            info.size = len(entry[1])
            packed.addfile(info, io.BytesIO(entry[1]))
    return made.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_files_come_out_whole_and_private(tmp_path, format):
    long = "d" * 60 + "/" + "e" * 60 + "/f.bin"
    entries = [
        ("artifact/a.txt", b"a"),
        (f"artifact/{long}", b"x" * 5000),
        ("./artifact/é.txt", b""),
        ("b", b"\0" * 512),
    ]
    folder = special("artifact/empty", tarfile.DIRTYPE)
    written = extract_tar(io.BytesIO(tar_of(*entries, folder, format=format)), tmp_path)
    assert written == 5513
    assert contents(tmp_path) == {
        "artifact/a.txt": b"a", f"artifact/{long}": b"x" * 5000, "artifact/é.txt": b"", "b": b"\0" * 512,
    }  # fmt: skip
    assert (tmp_path / "artifact" / "empty").is_dir()
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")} == {0o600, 0o700}


HOSTILE = {
    "absolute": [("/tmp/evil", b"x")],
    "parent": [("../evil", b"x")],
    "parent inside": [("a/../../evil", b"x")],
    "backslash": [("a\\..\\evil", b"x")],
    "newline": [("a\nb", b"x")],
    "symlink": [special("a", tarfile.SYMTYPE, "/etc")],
    "through a symlink": [special("a", tarfile.SYMTYPE, ".."), ("a/evil", b"x")],
    "hard link": [("a", b"x"), special("b", tarfile.LNKTYPE, "a")],
    "device": [special("a", tarfile.CHRTYPE)],
    "pipe": [special("a", tarfile.FIFOTYPE)],
    "twice": [("a", b"x"), ("./a", b"y")],
    "file and folder": [("a", b"x"), ("a/b", b"y")],
    "folder and file": [("a/b", b"y"), ("a", b"x")],
    "overlong part": [("a" * 300, b"x")],
    "overlong name": [("a/" * 600 + "a", b"x")],
    "deep": [("a/" * 40 + "a", b"x")],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_tars_are_refused(tmp_path, case):
    into = tmp_path / "in" / "here"
    into.mkdir(parents=True)
    with pytest.raises(InvalidModel):
        extract_tar(io.BytesIO(tar_of(*HOSTILE[case])), into)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_limits_are_kept(tmp_path):
    with pytest.raises(TooLarge):
        extract_tar(io.BytesIO(tar_of(("a", b"x" * 2000))), tmp_path / "1", Limits(bytes=1000))
    (tmp_path / "2").mkdir()
    with pytest.raises(TooLarge):
        extract_tar(io.BytesIO(tar_of(*((f"{n}", b"") for n in range(11)))), tmp_path / "2", Limits(files=10))


def test_a_header_that_lies_about_its_size_costs_nothing(tmp_path):
    info = tarfile.TarInfo("a")
    info.size = 1 << 50
    with pytest.raises(TooLarge):
        extract_tar(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT)), tmp_path)
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    with pytest.raises(InvalidModel, match="overlong"):
        extract_tar(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT)), tmp_path)


@pytest.mark.parametrize("cut", [0, 100, 512, 600, 1024])
def test_a_truncated_upload_is_told(tmp_path, cut):
    with pytest.raises(InvalidModel, match="ended early"):
        extract_tar(io.BytesIO(tar_of(("a", b"x" * 900))[:cut]), tmp_path)


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive.os, "open", full)
    with pytest.raises(StorageFull):
        extract_tar(io.BytesIO(tar_of(("a", b"x"))), tmp_path)


def test_an_existing_file_or_link_is_never_written_through(tmp_path):
    (tmp_path / "outside").write_bytes(b"old")
    into = tmp_path / "into"
    into.mkdir()
    (into / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidModel):
        extract_tar(io.BytesIO(tar_of(("a", b"new"))), into)
    assert (tmp_path / "outside").read_bytes() == b"old"


def zip_of(path, *entries, **how):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **how) as packed:
        for name, data in entries:
            packed.writestr(name, data)
    return path


def linked():
    info = zipfile.ZipInfo("a")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


ZIPS = {
    "slip": [("../evil", b"x")],
    "absolute": [("/evil", b"x")],
    "link": [(linked(), b"/etc/passwd")],
    "file and folder": [("a", b"x"), ("a/b", b"x")],
}


@pytest.mark.parametrize("case", ZIPS)
def test_hostile_zips_are_refused(tmp_path, case):
    (tmp_path / "into").mkdir()
    with pytest.raises(InvalidModel):
        extract_zip(zip_of(tmp_path / "z.zip", *ZIPS[case]), tmp_path / "into")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into", "z.zip"]


def test_zip_and_gzip_bombs_are_refused(tmp_path):
    (tmp_path / "into").mkdir()
    bomb = zip_of(tmp_path / "z.zip", ("a", b"\0" * (70 << 20)))
    with pytest.raises(TooLarge):
        extract_zip(bomb, tmp_path / "into")
    packed = tmp_path / "t.tgz"
    with gzip.open(packed, "wb") as out:
        info = tarfile.TarInfo("b")
        info.size = 70 << 20
        out.write(info.tobuf() + b"\0" * info.size + b"\0" * 1024)
    with pytest.raises(TooLarge):
        extract_packed_tar(packed, tmp_path / "into")


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz", ""])
def test_packed_tars_come_out(tmp_path, mode):
    (tmp_path / "into").mkdir()
    path = tmp_path / "p.tar"
    with tarfile.open(path, f"w:{mode}") as packed:
        info = tarfile.TarInfo("a")
        info.size = 3
        packed.addfile(info, io.BytesIO(b"abc"))
    extract_packed_tar(path, tmp_path / "into")
    assert contents(tmp_path / "into") == {"a": b"abc"}
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3 if mode else 600])
    (tmp_path / "again").mkdir()
    with pytest.raises(InvalidModel):
        extract_packed_tar(path, tmp_path / "again")


def test_unwrap_leaves_only_what_was_inside(tmp_path):
    zip_of(tmp_path / "z.zip", ("top/model.py", b"1"), ("top/z.zip", b"2"), ("__MACOSX/x", b"3"))
    unwrap(tmp_path / "z.zip", "zip")
    assert contents(tmp_path) == {"model.py": b"1", "z.zip": b"2"}


@given(st.text(max_size=60) | st.from_regex(r"([./]|\.\.|a|é|\\|\x00){0,12}", fullmatch=True))
def test_no_name_leads_outside(tmp_path_factory, name):
    home = tmp_path_factory.mktemp("h")
    into = home / "into"
    into.mkdir()
    writer = archive._Writer(into, Limits())
    try:
        writer.file(name, iter([b"x"]), 1)
    except InferryError:
        assert contents(home) == {}
    else:
        assert [path for path in home.rglob("*") if path.is_file() and into in path.parents]
        assert os.listdir(home) == ["into"]  # noqa: PTH208


@given(st.binary(max_size=1600))
def test_no_bytes_make_the_reader_fail_otherwise(tmp_path_factory, data):
    whole = bytearray(tar_of(("a/b", b"hello")))
    whole[: len(data)] = data
    for raw in (data, bytes(whole)):
        with contextlib.suppress(InferryError):
            extract_tar(io.BytesIO(raw), Path(tmp_path_factory.mktemp("t")))
