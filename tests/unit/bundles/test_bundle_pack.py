"""Bundles: the same source gives the same digest, and any changed byte is seen."""

from __future__ import annotations

import hashlib
import stat

import msgspec
import pytest

from inferry.bundles.pack import pack, read_manifest, source_digest, verify
from inferry.errors import InvalidModel
from inferry.types.bundle import Conversion, Detected, EnvironmentSpec
from inferry.types.signature import Inspection, Signature

DETECTED = Detected(runtime="python", entry="model.py")
INSPECTION = Inspection(signature=Signature(kind="open"), load_ms=3.5, predict_ms=1.5, answer=[float("nan")])


def given(tmp_path, name="given"):
    folder = tmp_path / name / "artifact"
    (folder / "lib").mkdir(parents=True)
    (folder / "model.py").write_text("x = 1\n")
    (folder / "lib" / "w.bin").write_bytes(b"\0" * 1000)
    sample = tmp_path / name / "s.csv"
    sample.write_text("a\n1\n")
    return folder, sample


def packed(tmp_path, name="bundle", lock="numpy==2.0\n", inspection=INSPECTION):
    folder, sample = given(tmp_path, f"{name}-given")
    return pack(folder, sample, DETECTED, EnvironmentSpec(), lock, inspection, tmp_path / name)


def test_a_bundle_is_laid_out_and_verifies(tmp_path):
    digest, manifest, size = packed(tmp_path)
    bundle = tmp_path / "bundle"
    assert [entry.path for entry in manifest.files] == [
        "artifact/lib/w.bin", "artifact/model.py", "environment/lock.txt", "sample/s.csv",
    ]  # fmt: skip
    assert size == sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    assert hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest() == digest
    assert verify(bundle, digest) == read_manifest(bundle)
    assert {stat.S_IMODE(path.stat().st_mode) for path in bundle.rglob("*")} == {0o600, 0o700}
    keys = list(msgspec.json.decode((bundle / "manifest.json").read_bytes()))
    assert keys == sorted(keys)


def test_the_digest_says_nothing_of_time(tmp_path):
    slow = msgspec.structs.replace(INSPECTION, load_ms=99.0)
    assert packed(tmp_path, "a")[0] == packed(tmp_path, "b", inspection=slow)[0]
    assert packed(tmp_path, "c", lock="numpy==2.1\n")[0] != packed(tmp_path, "a2")[0]


def test_the_source_is_what_was_given(tmp_path):
    folder, sample = given(tmp_path)
    source = source_digest(folder, sample)
    assert packed(tmp_path)[1].source == source
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert source_digest(folder, sample) == source
    assert source_digest(folder, None) != source
    (folder / "model.py").rename(folder / "other.py")
    assert source_digest(folder, sample) != source


def test_a_staging_folder_becomes_the_bundle_without_a_copy(tmp_path):
    folder, _ = given(tmp_path, "staging")
    inode = (folder / "model.py").stat().st_ino
    digest, _, _ = pack(folder, None, DETECTED, EnvironmentSpec(), "", INSPECTION, tmp_path / "staging" / "..x")
    staging = tmp_path / "staging"
    (staging / "s.csv").unlink()
    for left in (staging / "..x").rglob("*"):
        assert left.stat().st_ino != inode
    import shutil

    shutil.rmtree(staging / "..x")
    again, _, _ = pack(folder, None, DETECTED, EnvironmentSpec(), "", INSPECTION, staging)
    assert again == digest
    assert (staging / "artifact" / "model.py").stat().st_ino == inode
    verify(staging, digest)


def flip(bundle):
    path = bundle / "artifact" / "lib" / "w.bin"
    path.write_bytes(b"\1" + path.read_bytes()[1:])


DAMAGE = {
    "flipped": (flip, "'artifact/lib/w.bin' was changed"),
    "missing": (lambda bundle: (bundle / "artifact" / "model.py").unlink(), "'artifact/model.py' is missing"),
    "extra": (lambda bundle: (bundle / "artifact" / "evil.py").write_text("x"), "'artifact/evil.py' does not belong"),
    "extra at the top": (lambda bundle: (bundle / "evil").write_text("x"), "'evil' does not belong"),
    "link": (lambda bundle: (bundle / "artifact" / "l").symlink_to("/etc/passwd"), "link or device"),
    "manifest": (lambda bundle: (bundle / "manifest.json").write_bytes(b"{}"), "does not match its digest"),
    "no manifest": (lambda bundle: (bundle / "manifest.json").unlink(), "no manifest"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_seen_and_named(tmp_path, case):
    digest, _, _ = packed(tmp_path)
    damage, said = DAMAGE[case]
    damage(tmp_path / "bundle")
    with pytest.raises(InvalidModel, match=said):
        verify(tmp_path / "bundle", digest)


def test_pythons_caches_are_no_damage(tmp_path):
    digest, _, _ = packed(tmp_path)
    (tmp_path / "bundle" / "artifact" / "__pycache__").mkdir()
    (tmp_path / "bundle" / "artifact" / "__pycache__" / "m.pyc").write_bytes(b"x")
    verify(tmp_path / "bundle", digest)


def test_a_manifest_that_cannot_be_read_is_refused(tmp_path):
    for data in (b"{", b"[]", b'{"format": 7}', b"[" * 100_000):
        (tmp_path / "manifest.json").write_bytes(data)
        with pytest.raises(InvalidModel):
            verify(tmp_path, hashlib.sha256(data).hexdigest())


def test_a_converted_model_lies_beside_the_artifact_and_changes_no_source(tmp_path):
    graph = tmp_path / "draft.onnx"
    graph.write_bytes(b"graph")
    folder, sample = given(tmp_path, "n")
    made = Conversion(serves=True, runtime="python", entry="model.py", rows=3)
    served = Detected(runtime="onnx", entry="model.onnx")
    digest, manifest, _ = pack(
        folder, sample, served, EnvironmentSpec(), "", INSPECTION, tmp_path / "b", made, graph
    )  # fmt: skip
    assert verify(tmp_path / "b", digest).conversion == made
    assert (tmp_path / "b" / manifest.folder / manifest.entry).read_bytes() == b"graph"
    assert {"artifact/model.py", "converted/model.onnx"} <= {entry.path for entry in manifest.files}
    assert manifest.source == source_digest(folder, sample) == packed(tmp_path, "native")[1].source
    (tmp_path / "b" / "converted" / "model.onnx").write_bytes(b"other")
    with pytest.raises(InvalidModel, match="was changed"):
        verify(tmp_path / "b", digest)


def test_a_wish_to_serve_natively_makes_a_version_of_its_own(tmp_path):
    folder, sample = given(tmp_path, "n")
    made = Conversion(reason="as it was asked", asked="never")
    _, manifest, _ = pack(folder, sample, DETECTED, EnvironmentSpec(), "", INSPECTION, tmp_path / "b", made)
    assert manifest.folder == "artifact"
    assert manifest.source == source_digest(folder, sample, native=True) != source_digest(folder, sample)


def test_a_link_in_place_of_the_converted_model_is_not_followed(tmp_path):
    folder, sample = given(tmp_path, "n")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "draft.onnx").symlink_to(tmp_path / "secret")
    served = Detected(runtime="onnx", entry="model.onnx")
    made = Conversion(serves=True, runtime="python")
    with pytest.raises(InvalidModel, match="is not there"):
        pack(folder, sample, served, EnvironmentSpec(), "", INSPECTION, tmp_path / "b", made, tmp_path / "draft.onnx")
