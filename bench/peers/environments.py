"""One environment for each peer, made by uv under .bench/envs and kept between runs.

name -> requirements -> .bench/envs/NAME (made again when they change, or the Python of the race) -> its
Python, its size on disk and the versions in it. Files are copied and not linked out of uv's cache: two servers
that map the same file would divide its pages between them, and each would look smaller than it is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from inferry.environments.pip_settings import read_pip_settings

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".bench"
ONNX = ["onnxruntime==1.32.0", "numpy==2.4.6"]
WEB = ["fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0"]
REQUIREMENTS: dict[str, list[str]] = {
    "inferry": [str(ROOT)],  # only to see how much an installation weighs
    "fastapi": [*WEB, "python-multipart", *ONNX],
    "fastapi_raw": [*WEB, "orjson", *ONNX],
    "table": [*WEB, "lightgbm==4.7.0", "scikit-learn==1.9.1", "pandas==3.1.1", "joblib"],
    "triton": ["nvidia-pytriton==0.7.0", "onnxruntime==1.32.0"],  # it wants an older numpy
    "mosec": ["mosec==0.9.8", *ONNX],
    "litserve": ["litserve==0.2.19", "python-multipart", *ONNX],
    "bentoml": ["bentoml==1.4.40", *ONNX],
    "mlserver": ["mlserver==1.7.1", "uvloop<0.22", *ONNX],  # with uvloop 0.22 its workers die at the start
    "kserve": ["kserve==0.21.0", *ONNX],
    "ray": ["ray[serve]==2.60.0", *ONNX],
    "mlflow": ["mlflow==3.17.2", "onnx", *ONNX],
    "perf": ["perf-analyzer==2.60.0"],
    "boosters": [  # no peer: for bench.boosters
        "xgboost-cpu==3.2.0",
        "lightgbm==4.7.0",
        "catboost==1.2.10",
        "scikit-learn==1.9.1",
        "pandas==3.1.1",
        "joblib",
        "palmerpenguins",
        "onnx==1.23.2",
        "msgspec",
        *ONNX,
    ],
}
NEWEST = {"triton": (3, 12)}  # the newest Python of a peer: pytriton asks for numpy 1, which has wheels up to that one


class Unavailable(Exception):
    """A peer that cannot take part, and why."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A finished environment: where it is, its Python's version and the folder of its library, its size
    (10^6 bytes), and the versions of its packages by name."""

    folder: Path
    version: str
    libdir: str
    mb: float
    packages: dict[str, str]

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])


def environment(name: str) -> Environment:
    """The environment of that name, made when it is not there yet. Raises Unavailable."""
    folder, stamp = CACHE / "envs" / name, CACHE / "envs" / name / "bench.json"
    python = Path(sys.executable).resolve()
    made_for = {"race": str(python), "requirements": REQUIREMENTS[name]}
    if not (stamp.exists() and made_for.items() <= json.loads(stamp.read_text()).items()):
        print(f"environment {name}: installing {' '.join(REQUIREMENTS[name])}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _uv("venv", "--quiet", "--python", str(_not_newer(NEWEST[name]) if name in NEWEST else python), str(folder))
        mine = str(folder / "bin/python")
        _uv("pip", "install", "--quiet", "--python", mine, *REQUIREMENTS[name])
        listed = json.loads(_uv("pip", "list", "--python", mine, "--format", "json"))
        about = {
            **json.loads(_output([mine, "-c", _ABOUT])),
            "mb": round(megabytes(folder), 1),
            "packages": {package["name"].lower(): package["version"] for package in listed},
        }
        stamp.write_text(json.dumps({**made_for, "about": about}, indent=1) + "\n")
    return Environment(folder=folder, **json.loads(stamp.read_text())["about"])


_ABOUT = """
import json, platform, sysconfig
print(json.dumps({"version": platform.python_version(), "libdir": sysconfig.get_config_var("LIBDIR")}))
"""


def _not_newer(newest: tuple[int, int]) -> Path:
    """The Python of the race, or, where that is too new, the quickest that is not."""
    if sys.version_info[:2] <= newest:
        return Path(sys.executable).resolve()
    for line in _output([ROOT / "tools/pythons", "--quickest"]).splitlines():
        minor, path = line.split(maxsplit=1)
        if tuple(map(int, minor.split("."))) <= newest:
            return Path(path)
    raise Unavailable(f"there is no Python {newest[0]}.{newest[1]} or older here")


def _output(words: list[str | Path]) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def _uv(*arguments: str) -> str:
    from uv import find_uv_bin

    settings = read_pip_settings(os.environ, Path.home(), prefix=Path(sys.base_prefix))
    words = [find_uv_bin(), *arguments, "--cache-dir", str(CACHE / "uv")]
    if arguments[:2] == ("pip", "install"):
        words += [*settings.flags(), "--link-mode", "copy", "--compile-bytecode"]
    done = subprocess.run(words, env=settings.environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = " ".join(done.stderr.split())[-400:]
        raise Unavailable(f"uv {arguments[0]} ended with {done.returncode}: {last}")
    return done.stdout


def megabytes(folder: Path) -> float:
    """Blocks on disk, as `du` counts them."""
    return sum(path.lstat().st_blocks for path in folder.rglob("*")) * 512 / 1e6
