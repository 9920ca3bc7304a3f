"""Pack: make a bundle out of what was received, and prove later that it still is that.

Data flow: artifact folder, sample, lock, inspection -> files in the bundle's layout with
their sha256 -> canonical manifest.json, whose own sha256 is the bundle's digest. `verify`
goes the other way and trusts nothing but the digest.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from inferry.errors import InvalidModel
from inferry.types.bundle import CONVERTED, Conversion, Detected, EnvironmentSpec, FileEntry, Manifest
from inferry.types.conversion import MODEL
from inferry.types.signature import Inspection

MANIFEST = "manifest.json"
ENGINES = frozenset({"vllm"})  # runtimes that serve in place of the framework that an artifact is made for
MAX_MANIFEST = 16 << 20


# msgspec prepares a type at its first use, and crashes when two threads do that at once: so it is done here, at import.
_MANIFEST = msgspec.json.Decoder(Manifest)


def source_digest(artifact: Path, sample: Path | None, *, native: bool = False, engine: str = "") -> str:
    """sha256 over what a person gave: relative paths and file hashes, whatever their order or dates.

    `native`: it shall not be converted, so it is not the version that the same bytes make without that wish.
    `engine`: what serves it in place of its own framework.
    """
    return _source([*_entries(artifact, "artifact"), *_sample_entry(sample)], native=native, engine=engine)


def pack(
    artifact: Path,
    sample: Path | None,
    detected: Detected,
    environment: EnvironmentSpec,
    lock_text: str,
    inspection: Inspection,
    into: Path,
    conversion: Conversion | None = None,
    converted: Path | None = None,
) -> tuple[str, Manifest, int]:
    """Lay the bundle out in `into` and return its digest, manifest and size in bytes.

    An artifact or sample that already lies where the layout wants it stays there, so a
    staging folder becomes the bundle without a copy. Everything is on disk when this returns.
    `detected` is what serves: of a converted model, that is what `converted` holds, the ONNX file.
    """
    into.mkdir(mode=0o700, exist_ok=True)
    if artifact != into / "artifact":
        _copy(artifact, into / "artifact")
    if sample and sample.parent != into / "sample":
        (into / "sample").mkdir(mode=0o700)
        shutil.copyfile(sample, into / "sample" / sample.name)
    if lock_text:
        (into / "environment").mkdir(mode=0o700)
        (into / "environment" / "lock.txt").write_text(lock_text, encoding="utf-8")
    if converted:
        (into / CONVERTED).mkdir(mode=0o700)
        _take(converted, into / CONVERTED / MODEL)
    files = sorted(_entries(into, ""), key=lambda entry: entry.path)
    manifest = Manifest(
        runtime=detected.runtime,
        entry=detected.entry,
        source=_source(
            [entry for entry in files if entry.path.startswith(("artifact/", "sample/"))],
            native=conversion is not None and conversion.asked == "never",
            engine=detected.runtime if detected.runtime in ENGINES else "",
        ),
        options=detected.options,
        environment=environment,
        files=tuple(files),
        # The same source must give the same digest: how long it took is not part of what it is.
        inspection=msgspec.structs.replace(inspection, load_ms=0.0, predict_ms=0.0),
        conversion=conversion,
    )
    data = msgspec.json.encode(manifest, order="sorted")
    (into / MANIFEST).write_bytes(data)
    _settle(into)
    return hashlib.sha256(data).hexdigest(), manifest, sum(entry.size for entry in files) + len(data)


def read_manifest(path: Path) -> Manifest:
    """The manifest of a bundle folder, unchecked. Raises InvalidModel when it cannot be read."""
    return _decode(_read_manifest(path))


def verify(path: Path, digest: str) -> Manifest:
    """The manifest, when every byte of the bundle is what the digest stands for. InvalidModel otherwise."""
    data = _read_manifest(path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise InvalidModel("The bundle's manifest does not match its digest.", help="Deploy the model again.")
    manifest = _decode(data)
    found = {entry.path: entry for entry in _entries(path, "")}
    wanted = {entry.path: entry for entry in manifest.files}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            what = "is missing" if name not in found else "does not belong" if name not in wanted else "was changed"
            raise InvalidModel(f"The bundle is damaged: {name[:120]!a} {what}.", help="Deploy the model again.")
    return manifest


def _read_manifest(path: Path) -> bytes:
    try:
        handle = os.open(path / MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise InvalidModel("The folder is not a bundle: it has no manifest.") from None
    with os.fdopen(handle, "rb") as file:
        data = file.read(MAX_MANIFEST + 1)
    if len(data) > MAX_MANIFEST:
        raise InvalidModel("The bundle's manifest is too large.")
    return data


def _decode(data: bytes) -> Manifest:
    try:
        manifest = _MANIFEST.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidModel("The bundle's manifest cannot be read.") from error
    if manifest.format != 1:
        raise InvalidModel(f"The bundle has format {manifest.format}, this version reads 1.", help="Update Inferry.")
    return manifest


def _source(entries: list[FileEntry], *, native: bool, engine: str) -> str:
    whole = hashlib.sha256(b"native\n" if native else f"{engine}\n".encode() if engine else b"")
    for entry in sorted(entries, key=lambda entry: entry.path):
        whole.update(f"{entry.path}\0{entry.sha256}\n".encode())
    return whole.hexdigest()


def _entries(folder: Path, prefix: str) -> Iterator[FileEntry]:
    """Every regular file below `folder`, hashed. Python's caches and the manifest do not count."""
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST or prefix:
            sha256, size = _hash(path)
            yield FileEntry(path=f"{prefix}/{name}" if prefix else name, sha256=sha256, size=size)


def _sample_entry(sample: Path | None) -> list[FileEntry]:
    if sample is None:
        return []
    sha256, size = _hash(sample)
    return [FileEntry(path=f"sample/{sample.name}", sha256=sha256, size=size)]


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            if entry.name != "__pycache__":
                yield from _walk(Path(entry.path))
        elif stat.S_ISREG(mode):
            yield Path(entry.path)
        else:
            raise InvalidModel(f"{entry.name[:80]!a} is a link or device, not a file.", help="Send the file itself.")


def _hash(path: Path) -> tuple[str, int]:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size


def _copy(artifact: Path, target: Path) -> None:
    for path in _walk(artifact):
        place = target / path.relative_to(artifact)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _take(file: Path, target: Path) -> None:
    """Copy a file that a confined process left: a plain one, or nothing. Raises InvalidModel."""
    try:
        given = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise InvalidModel("The converted model is not there.", help="Deploy it with --native.") from None
    with os.fdopen(given, "rb") as source, target.open("wb") as copy:
        if not stat.S_ISREG(os.fstat(given).st_mode):
            raise InvalidModel("The converted model is not a file.", help="Deploy it with --native.")
        shutil.copyfileobj(source, copy)


def _settle(folder: Path) -> None:
    """Private modes, and everything on disk: files first, then the folders that name them."""
    for path in [*_walk(folder), *sorted(_folders(folder), reverse=True)]:
        path.chmod(0o700 if path.is_dir() else 0o600)
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _folders(folder: Path) -> Iterator[Path]:
    yield folder
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _folders(Path(entry.path))
