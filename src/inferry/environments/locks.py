"""Locks: requirement lines as people write them -> every package pinned, with hashes.

Data flow: requirement lines -> `read_requirements` (checked, sorted, each once) -> uv resolves
them -> `make_lock` (comments dropped, every line checked) -> `Lock`, whose digest names the
environment built from it.

A line may only name a package of the index: no options, no addresses, no paths. A requirement
must not make the platform read a file or fetch from a host that its owner did not set up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from inferry.errors import EnvironmentFailed
from inferry.types.bundle import Lock

PLATFORM = "platform"
BASE = ("msgspec>=0.19", "numpy>=1.26", 'pysimdjson>=7; python_version < "3.14"')
"""What our own code needs in every environment, or is slower without."""

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
EXTRAS = r"(?:\s*\[[A-Za-z0-9._,\s-]*\])?"
MARKER = r"""(?:\s*;[A-Za-z0-9_.\s"'<>=!~()+*,-]+)?"""
HASHES = r"(?:\s+--hash=sha256:[0-9a-f]{64})"
CLAUSE = r"(?:===?|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9._*+!-]+"
VERSIONS = rf"(?:\s*\(?\s*{CLAUSE}(?:\s*,\s*{CLAUSE})*\s*,?\s*\)?)?"
REQUIREMENT = re.compile(rf"{NAME}{EXTRAS}{VERSIONS}{MARKER}{HASHES}*")
PINNED = re.compile(rf"{NAME}{EXTRAS}==[A-Za-z0-9._+!]+{MARKER}{HASHES}+")


PLATFORM_LOCK = Lock(digest=PLATFORM, text="")


def read_requirements(lines: Iterable[str]) -> tuple[str, ...]:
    """Requirement lines without comments, each once, sorted. Raises EnvironmentFailed for one we do not take."""
    found = set()
    for line in _lines("\n".join(lines)):
        if not REQUIREMENT.fullmatch(line):
            raise EnvironmentFailed(
                f"{line[:80]!a} is not a requirement we can install.",
                help="Name a package and its versions, like scikit-learn==1.5.2: no options, addresses or paths.",
            )
        found.add(line)
    return tuple(sorted(found))


def digest_of_requirements(requirements: tuple[str, ...], python: str, *, nvidia: bool = True) -> str:
    """What the lock of these requirements is kept under. `nvidia`: whether it holds what only a GPU can use."""
    host = () if nvidia else ("lean",)
    return sha256("\n".join([f"python=={python}", *host, *requirements]).encode()).hexdigest()


def make_lock(text: str, requirements: tuple[str, ...], python: str) -> Lock:
    """A lock from uv's output or a bundle's lock file. Raises EnvironmentFailed when a line is not pinned by hash."""
    lines = _lines(text)
    for line in lines:
        if not PINNED.fullmatch(line):
            raise EnvironmentFailed(
                f"The lock's line {line[:80]!a} does not pin a package by hash.", help="Deploy the model again."
            )
    text = "".join(line.replace(" --hash", " \\\n    --hash") + "\n" for line in sorted(lines))
    digest = sha256(f"python=={python}\n{text}".encode()).hexdigest()
    return Lock(digest=digest, text=text, requirements=requirements, python=python)


def count_packages(lock: Lock) -> int:
    """How many packages it pins."""
    return len(_lines(lock.text))


def versions_of(lock: Lock) -> tuple[str, ...]:
    """Its packages as requirement lines: name, version and marker, without hashes."""
    return tuple(re.sub(HASHES, "", line) for line in _lines(lock.text))


def lines_beside(whole: Lock, part: Lock) -> str:
    """The lock text of `whole` without the packages that `part` has already."""
    known = {_package(line) for line in _lines(part.text)}
    return "\n".join(line for line in _lines(whole.text) if _package(line) not in known)


def _package(line: str) -> str:
    name = re.match(NAME, line)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else line


def _lines(text: str) -> list[str]:
    """Logical lines: continuations joined, comments, blank lines and needless space dropped."""
    joined = re.sub(r"\\[ \t]*\r?\n", " ", text)
    bare = (re.sub(r"(^|\s)#.*", "", line) for line in joined.splitlines())
    return [" ".join(line.split()) for line in bare if line.strip()]
