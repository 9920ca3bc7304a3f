"""ObjectBlobs: bundles in object storage, and a bounded folder of this machine from which replicas map their files.

Data flow: a staged directory -> its files, side by side -> its manifest, which makes the bundle be there -> the folder.
A bundle that is wanted and not in the folder -> its manifest, whose sha256 must be the digest -> its files, whose
sha256 must be what the manifest says -> one rename into the folder; the longest unused go when that is over its bound.

    PREFIX/platform.json               whose bundles these are
    PREFIX/manifests/<digest>.json     the bundles that there are
    PREFIX/files/<digest>/<path>       their files
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from inferry.errors import Conflict, InferryError, InvalidModel, NotFound
from inferry.objects import AT_ONCE, Objects
from inferry.storage.blobs import DirectoryBlobs, checked
from inferry.storage.faults import translated
from inferry.types.bundle import FileEntry, Manifest

MANIFEST = "manifest.json"
PLATFORM = "platform.json"
PIECE = 1 << 20
YOUNG_S = 600.0  # a bundle that was asked for so lately is not dropped: somebody is about to open it
ABANDONED_S = 3600.0  # files without a manifest are an upload under way, or one that never ended

log = logging.getLogger(__name__)

T = TypeVar("T")

_MANIFEST = msgspec.json.Decoder(Manifest)
_OWNER = msgspec.json.Decoder(dict[str, str])


class ObjectBlobs:
    """A BlobStore. `cache`: the private folder, `bound`: how many bytes it may hold; `in_use`: the digests of bundles
    that replicas run from."""

    def __init__(self, objects: Objects, cache: Path, bound: int, in_use: Callable[[], set[str]]) -> None:
        self.objects = objects
        self.bound = bound
        self.in_use = in_use
        self._cache = DirectoryBlobs(cache)
        self._root = cache
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def claim(self, owner: str) -> None:
        """Note whose bundles lie here. Raises Conflict when they are another's: what one database does not know would
        be swept away by its platform."""
        try:
            known = _OWNER.decode(self.objects.read(PLATFORM)).get("owner", "")
        except NotFound:
            self.objects.write(PLATFORM, msgspec.json.encode({"owner": owner}))
            return
        if known != owner:
            raise Conflict(
                f"The bundles in {self.objects.url} are those of {known}, not of {owner}.",
                help=f"Use another prefix; or, when it is the same database in another place, delete the object "
                f"{self.objects.url}/{PLATFORM}.",
            )

    def adopt(self, staged: Path, digest: str) -> Path:
        """Keep a staged directory. It is there for every machine when this returns."""
        self._send(staged, checked(digest))
        with self._one(digest):
            path = self._cache.adopt(staged, digest)
        self._make_room(digest)
        return path

    def send(self, digest: str) -> bool:
        """Send a bundle that lies on this machine only, from before its platform used object storage; False when it
        does not lie here either."""
        path = self._cache.find(digest)
        if path is not None:
            self._send(path, digest)
        return path is not None

    def find(self, digest: str) -> Path | None:
        """Where a bundle lies on this machine, None when it has to be fetched."""
        path = self._cache.find(digest)
        if path is not None:
            with contextlib.suppress(OSError):
                os.utime(path)
        return path

    def path(self, digest: str) -> Path:
        """Where a bundle lies, fetched when it does not lie here. Raises NotFound, Unavailable, InvalidModel."""
        with self._one(checked(digest)):
            path = self.find(digest) or self._fetch(digest)
        self._make_room(digest)
        return path

    def digests(self) -> set[str]:
        """All that is kept."""
        return {Path(found.key).stem for found in self.objects.all("manifests/")}

    def delete(self, digest: str) -> None:
        """Forget one."""
        self.objects.delete([_marker(checked(digest))])
        self.objects.delete([found.key for found in self.objects.all(f"files/{digest}/")])
        self._cache.delete(digest)

    def sweep(self) -> int:
        """Remove what interrupted calls left behind on this machine; how many entries."""
        return self._cache.sweep()

    def sweep_objects(self) -> int:
        """Remove what interrupted calls left behind in object storage; how many objects."""
        kept, limit = self.digests(), time.time() - ABANDONED_S
        lost = [
            found.key
            for found in self.objects.all("files/")
            if found.key.split("/")[1] not in kept and found.modified < limit
        ]
        self.objects.delete(lost)
        return len(lost)

    def probe(self) -> str:
        """Write, read and remove an object; where that was. Raises Unavailable."""
        key, data = f"probe-{secrets.token_hex(8)}", secrets.token_bytes(64)
        self.objects.write(key, data)
        try:
            same = self.objects.read(key) == data
        finally:
            self.objects.delete([key])
        if not same:
            raise InvalidModel(f"{self.objects.url} gives back other bytes than were written.")
        held = sum(size_of(path) for path in self._root.iterdir())
        return (
            f"{self.objects.url} at {self.objects.server}; {held >> 20} MB are kept here, of at most {self.bound >> 20}"
        )

    def _send(self, folder: Path, digest: str) -> None:
        files = [path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST]
        self._side_by_side(
            lambda path: self.objects.put(path, f"files/{digest}/{path.relative_to(folder).as_posix()}"), files
        )
        self.objects.put(folder / MANIFEST, _marker(digest))

    def _fetch(self, digest: str) -> Path:
        data = self.objects.read(_marker(digest))
        if hashlib.sha256(data).hexdigest() != digest:
            raise damaged(digest, MANIFEST)
        manifest = _MANIFEST.decode(data)
        fresh = self._root / f".fetched-{secrets.token_hex(8)}"
        fresh.mkdir(mode=0o700)
        try:
            with translated():
                self._side_by_side(lambda entry: self._fetch_file(digest, entry, fresh), manifest.files)
                (fresh / MANIFEST).write_bytes(data)
                return self._cache.adopt(fresh, digest)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _fetch_file(self, digest: str, entry: FileEntry, into: Path) -> None:
        name = PurePosixPath(entry.path)
        if name.is_absolute() or ".." in name.parts:
            raise damaged(digest, entry.path)
        target = into / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.objects.get(f"files/{digest}/{entry.path}", target)
        target.chmod(0o600)
        if (target.stat().st_size, sha256_of(target)) != (entry.size, entry.sha256):
            raise damaged(digest, entry.path)

    @staticmethod
    def _side_by_side(work: Callable[[T], None], items: Iterable[T]) -> None:
        with ThreadPoolExecutor(AT_ONCE, "objects") as pool:
            for done in [pool.submit(work, item) for item in items]:
                done.result()

    @contextlib.contextmanager
    def _one(self, digest: str) -> Iterator[None]:
        """One at a time of a bundle."""
        with self._lock:
            lock = self._locks.setdefault(digest, threading.Lock())
        with lock:
            yield

    def _make_room(self, digest: str) -> None:
        """Drop the longest unused until the folder is within its bound."""
        with self._lock:
            there = [(path.stat().st_mtime, path) for path in self._root.iterdir() if not path.name.startswith(".")]
            sizes = {path: size_of(path) for _, path in there}
            total, now = sum(sizes.values()), time.time()
            if total <= self.bound:
                return
            kept = self.in_use() | {digest}
            for used, path in sorted(there):
                if total <= self.bound or now - used < YOUNG_S:
                    break
                if path.name not in kept:
                    self._cache.delete(path.name)
                    total -= sizes[path]
                    log.info("the bundle %s was dropped here; it can be fetched again", path.name[:12])


def _marker(digest: str) -> str:
    return f"manifests/{digest}.json"


def damaged(digest: str, name: str) -> InferryError:
    """A bundle that is not what its digest says."""
    return InvalidModel(
        f"The bundle {digest[:12]} is damaged in object storage: {name[:120]!a} was changed.",
        help="Deploy the model again.",
    )


def sha256_of(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_of(path: Path) -> int:
    """How many bytes a folder's files have; 0 when it went meanwhile."""
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
