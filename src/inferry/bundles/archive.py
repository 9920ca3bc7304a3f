"""Archive: unpack what a stranger packed, and nothing outside the folder meant for it.

Data flow: tar stream or zip file -> one entry at a time, its name checked and its size
counted -> plain files, 0600, in a folder that was empty. Links, devices, absolute names,
`..`, duplicates and bombs are refused. The tar reader is our own: the standard one reads
a header's long name of any size into memory, and follows links.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from inferry.errors import InvalidModel, StorageFull, TooLarge

BLOCK = 512
CHUNK = 1 << 20
_MAX_HEADER = 1 << 16
MARKS = {"MAR-INF"}
"""Folders that say by their name what lies beside them."""
_PACK = "Pack plain files and folders, with names relative to the top."


@dataclass(frozen=True)
class Limits:
    """What one upload may hold. `ratio`: unpacked bytes for each packed byte of an archive."""

    files: int = 10_000
    bytes: int = 16 << 30
    name: int = 1024
    part: int = 255
    depth: int = 32
    ratio: int = 200


class Stream(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; b"" at the end."""
        ...


def extract_tar(source: Path | Stream, into: Path, limits: Limits = Limits()) -> int:
    """Unpack a tar into `into` and return the bytes written. InvalidModel, TooLarge or StorageFull."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return extract_tar(file, into, limits)
    writer = _Writer(into, limits)
    long_name = ""
    while True:
        header = _exactly(source, BLOCK)
        if not header.strip(b"\0"):
            return writer.written
        name, size, kind = _parse(header)
        if kind in {b"x", b"g", b"L"}:
            if size > _MAX_HEADER:
                raise InvalidModel("The upload has an overlong name.")
            data = _exactly(source, size + -size % BLOCK)[:size]
            if kind != b"g":
                long_name = _pax_name(data) if kind == b"x" else _decode(data.rstrip(b"\0"))
            continue
        name, long_name = long_name or name, ""
        if kind == b"5":
            writer.folder(name)
        elif kind in {b"0", b"\0", b"7"}:
            writer.file(name, _pieces(source, size), size)
            _exactly(source, -size % BLOCK)
        else:
            raise InvalidModel(f"The upload holds {_what(kind)} ({name[:80]!a}).", help="Send only files and folders.")


def extract_zip(path: Path, into: Path, limits: Limits = Limits()) -> int:
    """Unpack a zip file into `into` by the same rules, and return the bytes written."""
    limits = _within_ratio(limits, path)
    writer = _Writer(into, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > limits.bytes:
                raise _too_large()
            for entry in entries:
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.flag_bits & 1:
                    raise InvalidModel("The zip file is encrypted.", help="Pack it again without a password.")
                if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                    raise InvalidModel(f"The zip file holds a link or device ({entry.filename[:80]!a}).", help=_PACK)
                if entry.is_dir():
                    writer.folder(entry.filename)
                    continue
                with archive.open(entry) as file:
                    writer.file(entry.filename, iter(lambda file=file: file.read(CHUNK), b""), None)  # type: ignore[misc]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise InvalidModel("The zip file is corrupt or truncated.", help="Pack it again.") from error
    return writer.written


def extract_packed_tar(path: Path, into: Path, limits: Limits = Limits()) -> int:
    """Unpack a .tar, .tar.gz, .tar.bz2 or .tar.xz by the same rules."""
    limits = _within_ratio(limits, path)
    try:
        with opened(path) as stream:
            return extract_tar(stream, into, limits)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if getattr(error, "errno", None):
            raise
        raise InvalidModel("The archive is corrupt or truncated.", help="Pack it again.") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file's bytes, decompressed when its first bytes say so."""
    with path.open("rb") as file:
        first = file.read(6)
    unpackers = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open), (b"\x5d\0\0", lzma.open))
    unpack: Any = next((unpack for magic, unpack in unpackers if first.startswith(magic)), Path.open)
    with unpack(path, "rb") as made:
        yield made


def unwrap(path: Path, kind: str, limits: Limits = Limits()) -> None:
    """Replace an archive (`kind` zip or tar) by what it holds, a lone top folder left out."""
    inside = Path(tempfile.mkdtemp(prefix=".unpacked-", dir=path.parent))
    try:
        (extract_zip if kind == "zip" else extract_packed_tar)(path, inside, limits)
        top = [entry for entry in inside.iterdir() if entry.name != "__MACOSX"]
        root = top[0] if len(top) == 1 and top[0].is_dir() and top[0].name not in MARKS else inside
        path.unlink()
        for entry in list(root.iterdir()):
            entry.rename(path.parent / entry.name)
    finally:
        shutil.rmtree(inside, ignore_errors=True)


class _Writer:
    """Writes checked entries below one folder and counts them."""

    def __init__(self, into: Path, limits: Limits) -> None:
        self._into = into
        self._limits = limits
        self._seen: set[str] = set()
        self._folders: set[str] = set()
        self._entries = 0
        self.written = 0

    def folder(self, name: str) -> None:
        """Make a folder and those above it."""
        parts = self._checked(name)
        if parts:
            self._mkdir(parts)

    def file(self, name: str, pieces: Iterator[bytes], size: int | None) -> None:
        """Write one file. `size`: what its header claims, refused before anything is written."""
        parts = self._checked(name)
        clean = "/".join(parts)
        if not parts or clean in self._seen or clean in self._folders:
            raise InvalidModel(f"The upload holds {clean[:80]!a} twice.")
        self._seen.add(clean)
        if self.written + (size or 0) > self._limits.bytes:
            raise _too_large()
        self._mkdir(parts[:-1])
        try:
            target = self._into.joinpath(*parts)
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as out:
                for piece in pieces:
                    self.written += len(piece)
                    if self.written > self._limits.bytes:
                        raise _too_large()
                    out.write(piece)
        except OSError as error:
            raise _disk(error, clean) from error

    def _mkdir(self, parts: list[str]) -> None:
        for end in range(1, len(parts) + 1):
            clean = "/".join(parts[:end])
            if clean in self._folders:
                continue
            if clean in self._seen:
                raise InvalidModel(f"The upload holds {clean[:80]!a} as a file and as a folder.")
            self._folders.add(clean)
            try:
                self._into.joinpath(*parts[:end]).mkdir(mode=0o700, exist_ok=True)
            except OSError as error:
                raise _disk(error, clean) from error

    def _checked(self, name: str) -> list[str]:
        self._entries += 1
        if self._entries > self._limits.files:
            raise TooLarge(f"The upload holds more than {self._limits.files} files.")
        bad = (
            not name
            or len(name) > self._limits.name
            or name.startswith("/")
            or any(char == "\\" or not char.isprintable() for char in name)
        )
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if bad or ".." in parts or len(parts) > self._limits.depth:
            raise InvalidModel(f"The upload holds a file with an unsafe name: {name[:80]!a}.", help=_PACK)
        if any(len(part.encode("utf-8", "replace")) > self._limits.part for part in parts):
            raise InvalidModel("The upload holds a file with an overlong name.")
        return parts


def _exactly(source: Stream, size: int) -> bytes:
    data = b"".join(_pieces(source, size))
    assert len(data) == size
    return data


def _pieces(source: Stream, size: int) -> Iterator[bytes]:
    while size:
        piece = source.read(min(size, CHUNK))
        if not piece:
            raise InvalidModel("The upload ended early.", help="Send it again.")
        size -= len(piece)
        yield piece


def _parse(header: bytes) -> tuple[str, int, bytes]:
    """Name, size and type of a ustar header. InvalidModel when its checksum is wrong."""
    if _octal(header[148:156]) != sum(header[:148]) + 8 * 32 + sum(header[156:]):
        raise InvalidModel("The upload is not a tar archive, or is damaged.", help="Send it again.")
    name = _decode(header[:100].partition(b"\0")[0])
    if header[257:263] == b"ustar\0" and header[345]:
        name = f"{_decode(header[345:500].partition(bytes(1))[0])}/{name}"
    return name, _number(header[124:136]), header[156:157]


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
        if value >= 1 << 62:
            raise TooLarge("The upload holds a file of impossible size.")
        return value
    return _octal(field)


def _octal(field: bytes) -> int:
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise InvalidModel("The upload is not a tar archive, or is damaged.", help="Send it again.") from None


def _decode(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidModel("The upload holds a file name that is not UTF-8.") from None


def _pax_name(data: bytes) -> str:
    """The `path` record of a pax header; other records (times, owners) do not matter to us."""
    name = ""
    while data:
        length, space, _ = data.partition(b" ")
        size = int(length) if length.isdigit() and len(length) < 8 else 0
        if not space or not len(length) + 1 < size <= len(data):
            raise InvalidModel("The upload is not a tar archive, or is damaged.", help="Send it again.")
        key, _, value = data[len(length) + 1 : size - 1].partition(b"=")
        if key == b"path":
            name = _decode(value)
        elif key == b"size" or key.startswith(b"GNU.sparse"):
            raise InvalidModel("The upload holds a file in a form that is not read (sparse, or over 8 GB).")
        data = data[size:]
    return name


def _what(kind: bytes) -> str:
    return {b"1": "a hard link", b"2": "a symbolic link"}.get(kind, "a device or something else that is not a file")


def _within_ratio(limits: Limits, path: Path) -> Limits:
    most = max(64 << 20, path.stat().st_size * limits.ratio)
    return Limits(limits.files, min(limits.bytes, most), limits.name, limits.part, limits.depth, limits.ratio)


def _too_large() -> TooLarge:
    return TooLarge(
        "The upload holds more bytes than is allowed once unpacked.",
        help="Leave out data that the model does not need.",
    )


def _disk(error: OSError, name: str) -> StorageFull | InvalidModel:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StorageFull("The disk is full: the upload was not kept.", help="Free some space and send it again.")
    if error.errno is None:  # raised by a decompressor, not by the disk
        return InvalidModel("The archive is corrupt or truncated.", help="Pack it again.")
    return InvalidModel(f"The file {name[:80]!a} cannot be written ({errno.errorcode.get(error.errno or 0, 'error')}).")
