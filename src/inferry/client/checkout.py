"""Checkout: one commit of a Git repository in an empty folder, and nothing that it brings is run.

Data flow: URL and branch -> its newest commit, alone -> measured before anything is written out -> files. No hooks, no
filters, no links, no submodules, no questions to a person; each step has its time, and what is fetched its size.
Who may read the repository is settled by the user's own Git and SSH configuration, or by a token for https.
"""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from inferry.errors import InferryError, InvalidInput, Unavailable

ASK_S, FETCH_S, LOCAL_S = 60.0, 900.0, 300.0
MAX_BYTES, MAX_FILES = 8 << 30, 100_000
SHOWN = 400
SETTINGS = (
    "core.hooksPath=/dev/null", "core.symlinks=false", "core.fsmonitor=false", "core.autocrlf=false",
    "protocol.ext.allow=never", "submodule.recurse=false", "fetch.recurseSubmodules=false", "gc.auto=0",
    "filter.lfs.smudge=", "filter.lfs.process=", "filter.lfs.required=false", "advice.detachedHead=false",
    "http.lowSpeedLimit=1000", "http.lowSpeedTime=60",
)  # fmt: skip
LFS = b"version https://git-lfs.github.com/spec/"


class Git:
    """Git for one repository. Its errors are Unavailable when another try may help, else InvalidInput."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self._env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "INFERRY_"))}
        self._env |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true", "LC_ALL": "C"}
        if token:
            parts = urlsplit(url)
            header = base64.b64encode(f"x-access-token:{token}".encode()).decode()
            self._env |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{parts.scheme}://{parts.netloc}/.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {header}",
            }

    def newest(self, branch: str) -> str:
        """The commit that the branch is at."""
        said = self.run("ls-remote", "--", self.url, f"refs/heads/{branch}", seconds=ASK_S).split()
        if not said:
            raise Unavailable(f"The repository has no branch {branch!r}.", help="Push it, or follow another.")
        return said[0]

    def fetch(self, branch: str, folder: Path) -> str:
        """The branch's newest commit in a folder that is empty; which it is."""
        self.run("init", "-q", "-b", branch, str(folder))
        self.run("remote", "add", "origin", self.url, folder=folder)
        self.run(
            "fetch", "-q", "--no-tags", "--depth=1", "origin", f"refs/heads/{branch}", folder=folder, seconds=FETCH_S
        )
        self._measure(folder)
        self.run("reset", "-q", "--hard", "FETCH_HEAD", folder=folder)
        return self.run("rev-parse", "HEAD", folder=folder)

    def content(self, folder: Path, *paths: str) -> str:
        """Git's names for what is at some paths beside each other: other content, other names."""
        return " ".join(self.run("rev-parse", f"HEAD:./{path}", folder=folder) for path in paths)

    def _measure(self, folder: Path) -> None:
        """See that the files fit, and that all of them are here."""
        listed = self.run("ls-tree", "-r", "-l", "-z", "FETCH_HEAD", folder=folder).split("\0")[:-1]
        size = 0
        for entry in listed:
            head, _, name = entry.partition("\t")
            mode, _, _, bytes_ = head.split()
            if mode == "160000":
                raise InvalidInput(
                    f"{name} is a submodule, and submodules are not followed.",
                    help="Put the files into the repository.",
                )
            size += int(bytes_)
        if len(listed) > MAX_FILES or size > MAX_BYTES:
            raise InvalidInput(
                f"The commit has {len(listed)} files of {size >> 20} MiB in all.",
                help=f"At most {MAX_FILES} files and {MAX_BYTES >> 20} MiB are followed.",
            )

    def run(self, *arguments: str, folder: Path | None = None, seconds: float = LOCAL_S) -> str:
        """What git prints."""
        settings = [word for setting in SETTINGS for word in ("-c", setting)]
        place = ["-C", str(folder)] if folder else []
        limit = ["sh", "-c", 'ulimit -f "$1"; shift; exec "$@"', "sh", str(MAX_BYTES // 512)]
        try:
            done = subprocess.run(
                [*limit, "git", *settings, *place, *arguments],
                env=self._env, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Unavailable(
                f"git {arguments[0]} took longer than {seconds:g} s.", help="It is tried again."
            ) from error
        except OSError as error:
            raise Unavailable(f"git cannot be run: {error.strerror}.", help="Install git on this machine.") from error
        if done.returncode:
            raise _failed(arguments[0], done.stderr.decode("utf-8", "replace"))
        return done.stdout.decode("utf-8", "replace").rstrip("\n")


def is_pointer(path: Path) -> bool:
    """Whether a file only says where Git LFS has it."""
    with path.open("rb") as file:
        return file.read(len(LFS)) == LFS


def _failed(what: str, said: str) -> InferryError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith("fatal:")), lines[-1] if lines else "it says nothing")
    return Unavailable(f"git {what} failed: {told.removeprefix('fatal: ')[:SHOWN]}", help="It is tried again.")
