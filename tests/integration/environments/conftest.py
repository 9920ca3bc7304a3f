"""A folder of hand-made wheels, so that real uv builds need no network."""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from inferry.environments.builder import Environments, locate_uv
from inferry.environments.locks import BASE
from inferry.environments.pip_settings import read_pip_settings


def write_wheel(folder, name, version, *, requires=(), files=None, python=">=3.8"):
    """A pure-Python wheel whose module holds its version."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    contents = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n\n\ndef where():\n    return where.__code__.co_filename\n",
        **(files or {}),
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-where = {name}:where\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for path, text in contents.items()
    )
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in {**contents, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(member, text)
    return path


@pytest.fixture(scope="session")
def make_wheel():
    """Writes a wheel into a folder."""
    return write_wheel


@pytest.fixture(scope="session")
def ours():
    """The names of what every environment holds on this Python."""
    lines = [Requirement(line) for line in BASE]
    return sorted(line.name for line in lines if line.marker is None or line.marker.evaluate())


@pytest.fixture(scope="session")
def wheels(tmp_path_factory, ours):
    """Two versions of `tiny`, packages that conflict, and stand-ins for what every environment holds."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in ours:
        write_wheel(folder, name, "99.0")
    for version in ("1.0", "2.0"):
        write_wheel(folder, "tiny", version)
    write_wheel(folder, "needs_old", "1.0", requires=["tiny<2"])
    write_wheel(folder, "needs_future", "1.0", python=">=3.99")
    for number in range(40):
        files = {f"many{number}/m{at}.py": f"X = {at}\n" * 200 for at in range(20)}
        write_wheel(folder, f"many{number}", "1.0", files=files)
    return folder


@pytest.fixture
def configured(tmp_path, wheels):
    """pip.conf in a home of its own: only the folder of wheels, no index."""
    home = tmp_path / "user"
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    return read_pip_settings({"PATH": os.environ["PATH"]}, home, etc=tmp_path / "etc")


@pytest.fixture
def offline(tmp_path, configured):
    """Environments that can reach nothing but the folder of wheels."""
    return Environments(tmp_path / "envs", locate_uv(), sys.executable, configured, cache=tmp_path / "cache")


@pytest.fixture
def online(tmp_path):
    """Environments as this user's pip is set up; uv's own cache keeps downloads between runs."""
    settings = read_pip_settings(os.environ, Path.home())
    return Environments(tmp_path / "envs", locate_uv(), sys.executable, settings, cache=Path.home() / ".cache" / "uv")


@pytest.fixture(scope="session")
def ask():
    """What an environment's Python prints."""

    def run(python, code):
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
