"""tools/pythons: the interpreters of a machine, and which of them is quickest."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def pythons(folder: Path, *words: str) -> list[str]:
    environment = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin"}
    done = subprocess.run([ROOT / "tools/pythons", *words], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def shim(folder: Path, name: str, body: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def test_the_default_comes_first_and_the_quickest_when_it_is_asked_for(tmp_path: Path) -> None:
    """A stand-in answers what it is asked for its version; the loop of the slow one says that it took a minute."""
    answer = 'case "$2" in *base_executable*) echo "3.11 $0";; *) echo "{seconds}";; esac'
    shim(tmp_path, "python3", answer.format(seconds="60.0"))
    shim(tmp_path, "python3.12", answer.format(seconds="0.0001"))
    default, quickest = pythons(tmp_path), pythons(tmp_path, "--quickest")
    assert default[0] == f"3.11 {tmp_path}/python3"
    assert quickest[0] == f"3.11 {tmp_path}/python3.12"
    assert quickest[-1] == default[0]
    assert sorted(default) == sorted(quickest)


def test_what_is_no_python_is_left_out(tmp_path: Path) -> None:
    shim(tmp_path, "python3", "exit 1")
    (tmp_path / "python3.13").symlink_to(sys.executable)
    assert not [line for line in pythons(tmp_path) if f"{tmp_path}/python3" in line.split()]
