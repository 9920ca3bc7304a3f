"""ObjectBlobs against a real S3 server: there whole or not at all, verified when read, bounded here."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from pathlib import Path

import msgspec
import pytest

from inferry.errors import Conflict, InvalidInput, InvalidModel, NotFound, Unavailable
from inferry.objects import PART, Objects, parse_object_url
from inferry.storage.object_blobs import ObjectBlobs
from inferry.types.bundle import FileEntry, Manifest
from inferry.types.signature import Inspection, Signature
from tests.support.objects import BUCKET, ObjectServer

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server():
    server = ObjectServer().start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def env(server, monkeypatch):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def url():
    return f"s3://{BUCKET}/test-{next(NUMBERS)}"


def blobs_at(url: str, cache: Path, bound: int = 1 << 30, used: set[str] | None = None) -> ObjectBlobs:
    return ObjectBlobs(Objects(url), cache, bound, lambda: used or set())


def stage(folder: Path, content: bytes = b"weights") -> tuple[Path, str]:
    files = {"artifact/model.onnx": content, "artifact/more/notes.txt": b"notes", "environment/lock.txt": b""}
    entries = []
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        entries.append(FileEntry(path=name, sha256=hashlib.sha256(data).hexdigest(), size=len(data)))
    inspection = Inspection(signature=Signature(kind="open"))
    manifest = Manifest(
        runtime="onnx", entry="artifact/model.onnx", source="s", files=tuple(entries), inspection=inspection
    )
    data = msgspec.json.encode(manifest)
    (folder / "manifest.json").write_bytes(data)
    return folder, hashlib.sha256(data).hexdigest()


def content(path: Path) -> dict[str, bytes]:
    return {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def test_a_bundle_is_found_by_another_machine_and_verified(url, tmp_path) -> None:
    staged, digest = stage(tmp_path / "staged", os.urandom(PART + 5))  # sent and read in parts
    wanted = content(staged)
    one, other = blobs_at(url, tmp_path / "one"), blobs_at(url, tmp_path / "other")
    assert content(one.adopt(staged, digest)) == wanted
    assert other.digests() == {digest}
    assert other.find(digest) is None
    assert content(other.path(digest)) == wanted
    assert other.find(digest) == other.path(digest)
    assert not list((tmp_path / "other").glob(".*"))


@pytest.mark.parametrize("name", ["manifests/{}.json", "files/{}/artifact/model.onnx"])
def test_what_was_changed_is_not_taken(url, server, tmp_path, name) -> None:
    staged, digest = stage(tmp_path / "staged")
    blobs_at(url, tmp_path / "one").adopt(staged, digest)
    server.put(f"{url.rpartition('/')[2]}/{name.format(digest)}", b"otherwise")
    other = blobs_at(url, tmp_path / "other")
    with pytest.raises(InvalidModel, match="was changed"):
        other.path(digest)
    assert list((tmp_path / "other").iterdir()) == []


def test_a_bundle_without_its_manifest_is_not_there_and_is_swept_when_it_is_old(url, tmp_path, monkeypatch) -> None:
    staged, digest = stage(tmp_path / "staged")
    blobs = blobs_at(url, tmp_path / "one")
    blobs.objects.put(staged / "artifact/model.onnx", f"files/{digest}/artifact/model.onnx")
    assert blobs.digests() == set()
    with pytest.raises(NotFound):
        blobs.path(digest)
    assert blobs.sweep_objects() == 0  # somebody may be sending it
    later = time.time() + 4000
    monkeypatch.setattr("inferry.storage.object_blobs.time.time", lambda: later)
    assert blobs.sweep_objects() == 1
    assert list(blobs.objects.all()) == []


def test_deleting_leaves_nothing_anywhere(url, tmp_path) -> None:
    staged, digest = stage(tmp_path / "staged")
    blobs = blobs_at(url, tmp_path / "one")
    path = blobs.adopt(staged, digest)
    blobs.delete(digest)
    blobs.delete(digest)
    assert not path.exists()
    assert list(blobs.objects.all()) == []


def test_the_longest_unused_go_when_the_folder_is_full_but_never_what_runs(url, tmp_path) -> None:
    made = [stage(tmp_path / f"staged-{number}", bytes([number]) * 100_000) for number in range(4)]
    digests = [digest for _, digest in made]
    blobs = blobs_at(url, tmp_path / "one", 250_000, {digests[0]})
    for number, (staged, digest) in enumerate(made):
        path = blobs.adopt(staged, digest)
        os.utime(path, (number, number))  # long ago
    assert [blobs.find(digest) is not None for digest in digests] == [True, False, False, True]
    assert blobs.path(digests[1]).is_dir()  # it is fetched again
    assert blobs.digests() == set(digests)


def test_another_platforms_bundles_are_left_alone(url, tmp_path) -> None:
    blobs = blobs_at(url, tmp_path / "one")
    blobs.claim("a")
    blobs.claim("a")
    with pytest.raises(Conflict, match="those of a, not of b"):
        blobs.claim("b")


def test_what_is_wrong_is_said(server, tmp_path, monkeypatch) -> None:
    blobs = blobs_at("s3://nobucket/x", tmp_path / "one")
    with pytest.raises(Unavailable, match="no bucket 'nobucket'"):
        blobs.digests()
    staged, digest = stage(tmp_path / "staged")
    with pytest.raises(Unavailable, match="no bucket 'nobucket'"):
        blobs.adopt(staged, digest)
    assert staged.is_dir()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Unavailable, match="no credentials"):
        Objects("s3://models/x").read("y")


def test_a_server_that_is_not_there_is_asked_several_times(monkeypatch) -> None:
    monkeypatch.setattr("inferry.objects.ATTEMPTS", 2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="does not answer"):
        Objects("s3://models/x").read("y")


def test_a_probe_writes_reads_and_removes(url, tmp_path) -> None:
    blobs = blobs_at(url, tmp_path / "one")
    assert url in blobs.probe()
    assert list(blobs.objects.all()) == []


@pytest.mark.parametrize("text", ["s3://", "s3://UPPER/x", "models/x", "s3://models/../x", "http://a/b"])
def test_what_names_no_place_is_refused(text) -> None:
    with pytest.raises(InvalidInput):
        parse_object_url(text)
