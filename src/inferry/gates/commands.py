"""Commands: gates that people write themselves, in any language.

Data flow: the command, in the folder of the gates file, with the private copy's address in its environment -> its
exit code and the end of what it wrote. It runs in a process group of its own, which ends with it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from inferry.gates.subject import Subject
from inferry.security.brood import end_with_parent
from inferry.types.gates import Command, Pytest
from inferry.types.trials import Finding

TAIL_LINES, TAIL_BYTES = 30, 16_000


def command(gate: Command, subject: Subject, folder: Path, environ: Mapping[str, str]) -> list[Finding]:
    """Any command."""
    try:
        words = shlex.split(gate.run) if isinstance(gate.run, str) else list(gate.run)
    except ValueError as error:
        return [Finding(what="command", verdict="failed", words=f"{gate.run!r} cannot be split into words: {error}")]
    return [_run(words, words[0], gate.timeout, subject, folder, environ)]


def pytest(gate: Pytest, subject: Subject, environ: Mapping[str, str]) -> list[Finding]:
    """A pytest file or folder, by the Python that runs us."""
    file = Path(gate.file)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file.name]
    return [_run(words, f"pytest {file.name}", gate.timeout, subject, file.parent, environ)]


def _end_with_us() -> None:
    end_with_parent(signal.SIGKILL)


def _run(
    words: Sequence[str], shown: str, timeout: float, subject: Subject, folder: Path, environ: Mapping[str, str]
) -> Finding:
    known = {
        "INFERRY_TEST_URL": subject.url,
        "INFERRY_TEST_ENDPOINT": subject.endpoint,
        "INFERRY_API_KEY": subject.key,
    }
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(words),
                cwd=folder,
                env={**environ, **known},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_us,  # noqa: PLW1509 - this process has one thread
            )
        except OSError as error:
            why = (error.strerror or "it cannot be started").lower()
            return Finding(what=shown, verdict="failed", words=f"{shown} cannot be started: {why}")
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it left behind, and itself when it is late
            process.wait()
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - TAIL_BYTES))
        lines = output.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
    if code == 0:
        return Finding(what=shown, verdict="passed", words=f"{shown} ended with 0")
    how = f"took longer than {timeout:g} s" if code is None else f"ended with {code}"
    told = "\n".join(lines).strip()
    return Finding(what=shown, verdict="failed", value=code, words=f"{shown} {how}" + (f":\n{told}" if told else ""))
