"""Trial: a private copy of a model for the time of a test: `inferry serve` in a process of its own, on loopback.

Data flow: a bundle or an artifact -> a child that serves it on free ports with a key of its own -> its facts, as
JSON -> the test -> the child ends. It ends with its parent, too, however that ends, and so do its replicas; no
platform knows of it, so nothing is left to clean up elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from inferry.errors import InferryError, Unavailable
from inferry.security.brood import end_with_parent
from inferry.types.conversion import Mode

START_S, STOP_S = 900.0, 20.0
MARK = "inferry-test-"


class TrialTask(msgspec.Struct, frozen=True, kw_only=True):
    """What the child serves. `scratch`: a folder that it removes when it ends; `parent`: who must be alive."""

    path: str
    name: str
    sample: str
    convert: Mode
    home: str
    ready: str
    scratch: str
    parent: int


class Facts(msgspec.Struct, frozen=True):
    """Where a private copy answers, its bundle's folder and digest, and the processes that the model runs in."""

    http: str
    endpoint: str
    key: str
    bundle: str
    digest: str
    replicas: tuple[int, ...] = ()


def scratch_folder() -> Path:
    """A folder for what a test fetches; give it to `served`."""
    return Path(tempfile.mkdtemp(prefix=MARK))


@contextlib.contextmanager
def served(
    path: Path,
    name: str,
    home: Path,
    *,
    sample: Path | None = None,
    convert: Mode = "auto",
    scratch: Path | None = None,
) -> Iterator[Facts]:
    """A private copy, for the time of a `with`. Raises Unavailable with the child's words when it does not start."""
    folder = scratch or scratch_folder()
    ready, log = folder / "ready.json", folder / "serve.log"
    task = TrialTask(
        path=str(path), name=name, sample=str(sample) if sample else "", convert=convert, home=str(home),
        ready=str(ready), scratch=str(folder), parent=os.getpid(),
    )  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "inferry.compose.trial", msgspec.json.encode(task).decode()],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield _await(process, ready, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _await(process: subprocess.Popen[bytes], ready: Path, log: Path) -> Facts:
    deadline = time.monotonic() + START_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            lines = log.read_text("utf-8", "replace").splitlines()
            said = next((line for line in reversed(lines) if line.startswith("error: ")), "")
            help = next((line.removeprefix("help: ") for line in reversed(lines) if line.startswith("help: ")), "")
            told = said.removeprefix("error: ") or "\n".join(lines[-5:])
            raise Unavailable(f"The model could not be served for its test. {told}".strip(), help=help)
        time.sleep(0.02)
    return msgspec.json.decode(ready.read_bytes(), type=Facts)


def main(task: TrialTask) -> int:
    """The child."""
    from inferry.compose import serve

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it cleans up whenever that comes
    end_with_parent(signal.SIGTERM)
    if os.getppid() != task.parent:
        return 0
    try:
        return serve.run(
            Path(task.path), task.name, Path(task.sample) if task.sample else None, "127.0.0.1", 0, 0, None,
            Path(task.ready), Path(task.home), task.convert,
        )  # fmt: skip
    except InferryError as error:
        print(f"error: {error.message}" + (f"\nhelp: {error.help}" if error.help else ""), file=sys.stderr, flush=True)
        return 1
    finally:
        if os.getppid() != task.parent:  # nobody else is left to do it
            shutil.rmtree(task.scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=TrialTask)))
