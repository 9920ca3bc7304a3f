"""Environments: one virtual environment per lock, built once and shared by all bundles with that lock.

Data flow: requirements -> `lock` (kept in root/locks, so that the same requirements always give
the same lock) -> `ensure` -> root/building/<digest> (uv venv, uv pip install) -> renamed to
root/<digest> when it is whole -> its Python runs zygotes.

An environment exists under its digest only whole: a killed build leaves something in `building`
alone. It is made relocatable, so that the rename breaks none of its scripts. One builder per
digest holds a file lock, which uv inherits: even when the builder is killed, nobody else starts
before its uv has ended. Only wheels are installed: building a source distribution would run the
package's own code outside the sandbox.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from inferry.environments.failures import explain
from inferry.environments.lean import lean
from inferry.environments.locks import (
    BASE,
    PLATFORM,
    PLATFORM_LOCK,
    count_packages,
    digest_of_requirements,
    lines_beside,
    make_lock,
    read_requirements,
    versions_of,
)
from inferry.environments.pip_settings import PipSettings
from inferry.errors import EnvironmentFailed, MissingPlugin, NotFound, StorageFull
from inferry.types.bundle import Lock

Say = Callable[[str], None]
TIME_LIMIT_S = 900.0
WHEELS_ONLY = ("--only-binary", ":all:")
COMPILE = ("pip", "compile", "-", "--generate-hashes", "--no-header", "--quiet", *WHEELS_ONLY)
MAKE = ("venv", "--relocatable", "--quiet")
INSTALL = ("pip", "install", "--require-hashes", "--no-deps", "--compile-bytecode", *WHEELS_ONLY)


def locate_uv() -> str:
    """The path of uv's program, from its own package."""
    import uv

    try:
        return str(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise MissingPlugin(
            "The program of the package uv is missing.", help="pip install --force-reinstall uv"
        ) from error


class Environments:
    """The environments beneath `root`, for one base `python`. Safe for many threads and processes."""

    def __init__(
        self,
        root: Path,
        uv: str,
        python: str,
        settings: PipSettings,
        cache: Path | None = None,
        *,
        nvidia: bool = True,
    ) -> None:
        """`cache`: uv's cache, from which files are hard-linked (default: cache/uv beside `root`).

        `nvidia`: whether this host has NVIDIA's driver; without it, locks leave out what only a GPU can use.
        """
        self._root = root
        self._nvidia = nvidia
        self._held: dict[str, int] = {}
        self._uv = uv
        self._python = python
        self._settings = settings
        self._cache = cache or root.parent / "cache" / "uv"
        self._locks = root / "locks"
        self._guards = root / "guards"
        self._building = root / "building"
        for folder in (root, self._locks, self._guards, self._building, self._cache):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        asked = subprocess.run(
            [python, "-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        self.python_version = asked.stdout.strip()

    def lock(self, requirements: Sequence[str], say: Say) -> Lock:
        """Pin the requirements and ours. No requirements: the platform's own environment."""
        wanted = read_requirements(requirements)
        if not wanted:
            return PLATFORM_LOCK
        digest = digest_of_requirements(wanted, self.python_version, nvidia=self._nvidia)
        kept = self._locks / f"{digest}.txt"
        with _disk(), self._guard(digest, say) as guard:
            if kept.is_file():
                return make_lock(kept.read_text(encoding="utf-8"), wanted, self.python_version)
            say(f"resolving {_count(len(wanted), 'requirement')}")
            text = self._run(
                [*COMPILE, *self._settings.flags(), "--python", self._python],
                guard,
                given="\n".join([*wanted, *BASE, ""]),
            )
            lock = make_lock(lean(text, nvidia=self._nvidia), wanted, self.python_version)
            _write(kept, lock.text)
        return lock

    def ensure(self, lock: Lock, say: Say) -> Path:
        """The Python of the lock's environment, built now when it is not there."""
        if lock.digest == PLATFORM:
            return Path(self._python)
        if lock.python != self.python_version:
            raise EnvironmentFailed(
                f"The packages were locked for Python {lock.python} and this platform runs {self.python_version}.",
                help="Deploy the model again.",
            )
        if make_lock(lock.text, lock.requirements, lock.python).digest != lock.digest:
            raise EnvironmentFailed("The lock was changed: its digest does not fit.", help="Deploy the model again.")
        if not self._is_whole(lock.digest):
            with _disk(), self._guard(lock.digest, say) as guard:
                if not self._is_whole(lock.digest):
                    self._build(lock, guard, say)
        return self.python(lock.digest)

    def beside(self, lock: Lock, requirements: Sequence[str], say: Say) -> Lock:
        """What these requirements need beyond a lock: resolved with all of its versions, and without them.

        The environment of such a lock is small, and is laid beside the other's packages (`packages`).
        """
        whole = self.lock((*versions_of(lock), *requirements), say)
        return make_lock(lines_beside(whole, lock), tuple(requirements), self.python_version)

    def packages(self, digest: str) -> Path:
        """The folder of an environment's packages. Raises NotFound."""
        self.python(digest)
        return self._root / digest / "lib" / f"python{self.python_version}" / "site-packages"

    def restore(self, digest: str, text: str, say: Say) -> Path:
        """The Python of a bundle's environment, built from the bundle's own lock when it is not there."""
        lock = make_lock(text, (), self.python_version)
        if lock.digest != digest:
            raise EnvironmentFailed(
                f"The packages of this model were locked for another Python than {self.python_version}.",
                help="Deploy the model again.",
            )
        return self.ensure(lock, say)

    def python(self, digest: str) -> Path:
        """The Python of an environment that is there. Raises NotFound."""
        if digest == PLATFORM:
            return Path(self._python)
        if digest not in self.digests():
            raise NotFound("The environment of this model is not there.", help="Deploy the model again.")
        return self._root / digest / "bin" / "python"

    def digests(self) -> list[str]:
        """The digests of all whole environments."""
        return sorted(path.parent.name for path in self._root.glob("*/lock.txt") if self._is_whole(path.parent.name))

    def remove_unused(self, keep: set[str]) -> list[str]:
        """Remove every environment that is not to be kept and that no process holds; says which.

        Locks stay, they are small.
        """
        unused = [digest for digest in self.digests() if digest not in keep]
        return [digest for digest in unused if self._remove_unless_busy(digest, self._root / digest)]

    def hold(self, digest: str) -> None:
        """Keep an environment from being removed by others for as long as this process lives, built or not yet."""
        if digest not in self._held:
            self._held[digest] = self._open(f"{digest}.use")
            fcntl.flock(self._held[digest], fcntl.LOCK_SH)

    def sweep(self) -> list[str]:
        """Remove what killed builds and removals left, unless a builder is at it right now."""
        broken = [path for path in self._root.glob("*/lock.txt") if not self._is_whole(path.parent.name)]
        leftovers = [*self._building.iterdir(), *(path.parent for path in broken)]
        return [path.name for path in leftovers if self._remove_unless_busy(path.name.partition(".")[0], path)]

    def _is_whole(self, digest: str) -> bool:
        folder = self._root / digest
        return (folder / "lock.txt").is_file() and (folder / "bin" / "python").exists()

    def _build(self, lock: Lock, guard: int, say: Say) -> None:
        folder = self._building / lock.digest
        self._remove(folder)
        try:
            self._run([*MAKE, "--python", self._python, str(folder)], guard)
            _write(folder / "lock.txt", lock.text)
            say(f"installing {_count(count_packages(lock), 'package')}")
            python, pinned = str(folder / "bin" / "python"), str(folder / "lock.txt")
            flags = self._settings.source_flags()
            self._run([*INSTALL, *flags, "--python", python, "--requirements", pinned], guard)
            self._remove(self._root / lock.digest)
            folder.rename(self._root / lock.digest)
        finally:
            self._remove(folder)

    def _run(self, arguments: list[str], guard: int, given: str = "") -> str:
        try:
            done = subprocess.run(
                [self._uv, *arguments, "--no-config", "--cache-dir", str(self._cache)],
                input=given,
                capture_output=True,
                text=True,
                env=self._settings.environment(),
                cwd=self._building,
                pass_fds=(guard,),
                timeout=TIME_LIMIT_S,
                check=False,
            )
        except FileNotFoundError as error:
            raise EnvironmentFailed("uv could not be started.", help="pip install --force-reinstall uv") from error
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFailed(
                f"Installing the packages took more than {TIME_LIMIT_S / 60:.0f} minutes.", help="Deploy again."
            ) from error
        if done.returncode < 0:
            raise EnvironmentFailed(f"uv was ended by signal {-done.returncode}.", help="Deploy again.")
        if done.returncode:
            raise explain(done.stderr, self.python_version)
        return done.stdout

    @contextlib.contextmanager
    def _guard(self, name: str, say: Say) -> Iterator[int]:
        """Hold the name's file lock, across processes and threads; yields its descriptor."""
        descriptor = self._open(name)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("waiting for another build of the same environment")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _remove_unless_busy(self, digest: str, folder: Path) -> bool:
        locks = [self._open(digest), self._open(f"{digest}.use")]
        try:
            for descriptor in locks:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._remove(folder)
        except BlockingIOError:
            return False
        finally:
            for descriptor in locks:
                os.close(descriptor)
        return True

    def _open(self, guard: str) -> int:
        return os.open(self._guards / guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _remove(self, folder: Path) -> None:
        """Out of sight in one step, then deleted: a kill in between leaves nothing that looks whole."""
        if folder.parent != self._building and folder.exists():
            folder = folder.rename(self._building / f"{folder.name}.{secrets.token_hex(4)}")
        shutil.rmtree(folder, ignore_errors=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("The disk is full.", help="Free some space and deploy again.") from error
        raise


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
