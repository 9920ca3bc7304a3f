"""Where an artifact comes from, as far as its folder tells: the git work tree that it lies in, and its training run.

Data flow: path -> git's answers, and the run id of a file MLmodel -> what the caller said of it comes first -> Lineage.
Nothing here fails a deploy: what cannot be found out is left empty.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec

from inferry.client.upload import collect
from inferry.policy.lineage import check_lineage
from inferry.types.lineage import Lineage

GIT_S = 5.0
MAX_MLMODEL = 4 << 20
RUN = re.compile(r"^run_id:[ \t]*['\"]?([0-9A-Za-z_-]{1,64})['\"]?[ \t]*$", re.MULTILINE)


def lineage_of(path: Path, told: Lineage, data: Path | None = None) -> Lineage:
    """What was told, and what can be found for the rest. Raises InvalidInput for what cannot be kept."""
    found: dict[str, object] = {}
    if not told.commit:
        found |= git_of(path)
    if not told.run:
        found["run"] = run_of(path)
    if data is not None:
        found["data"] = digest_of(data)
    return check_lineage(msgspec.structs.replace(told, **found))


def git_of(path: Path) -> dict[str, object]:
    """Commit, branch, remote and whether tracked files were changed; nothing outside of a work tree."""
    real = path.expanduser().resolve()
    folder = real if real.is_dir() else real.parent
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return {}
    branch = _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    remotes = _git(folder, "remote").split()
    remote = "origin" if "origin" in remotes else next(iter(remotes), "")
    return {
        "commit": commit,
        "branch": branch,
        "remote": without_password(_git(folder, "remote", "get-url", remote)) if remote else "",
        "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
    }


def without_password(url: str) -> str:
    """A remote's address without whoever is named in it, but for the user of SSH."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    user = user.partition(":")[0] if parts.scheme == "ssh" else ""
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}" if user else host))


def run_of(path: Path) -> str:
    """The run that logged an MLflow model folder."""
    for marker in (path / "MLmodel", *sorted(path.glob("*/MLmodel"))):
        if marker.is_file() and marker.stat().st_size <= MAX_MLMODEL:
            found = RUN.search(marker.read_text("utf-8", "replace"))
            return found[1] if found else ""
    return ""


def digest_of(path: Path) -> str:
    """The sha256 of a file, or over the names and digests of a folder's files."""
    digests = []
    for entry in collect(path, "data"):
        with entry.path.open("rb") as file:
            digests.append((entry.name, hashlib.file_digest(file, "sha256").hexdigest()))
    if path.expanduser().is_file():
        return digests[0][1]
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests).encode()).hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    """What git says, "" when it fails. Nothing of the repository's own configuration runs a program."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook sets some
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, env=variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()
