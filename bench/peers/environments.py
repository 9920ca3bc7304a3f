"""One environment for each peer, made by uv under .bench/envs and kept between runs.

name -> requirements -> .bench/envs/NAME (made again when they change, or the Python of the race) -> its
Python, its size on disk and the versions in it. Files are copied and not linked out of uv's cache: two servers
that map the same file would divide its pages between them, and each would look smaller than it is.
"""

from __future__ import annotations

import json
import os
import platform
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
    "triton": ["nvidia-pytriton==0.7.0", *ONNX],
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
OVERRIDES = {"triton": ONNX[1]}  # it asks for numpy 1, which newer Pythons do not have; its binary takes both


class Unavailable(Exception):
    """A peer that cannot take part, and why."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A finished environment: where it is, its size (10^6 bytes) and its packages by name."""

    folder: Path
    mb: float
    packages: dict[str, str]

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"


def environment(name: str) -> Environment:
    """The environment of that name, made when it is not there yet. Raises Unavailable."""
    folder, stamp = CACHE / "envs" / name, CACHE / "envs" / name / "bench.json"
    requirements = REQUIREMENTS[name]
    made_of = {"python": f"{sys.base_prefix} {platform.python_version()}", "requirements": requirements}
    if not (stamp.exists() and made_of.items() <= json.loads(stamp.read_text()).items()):
        print(f"environment {name}: installing {' '.join(requirements)}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _uv("venv", "--quiet", "--python", sys.executable, str(folder))
        override = folder / "override.txt"
        override.write_text(OVERRIDES.get(name, ""))
        words = ["--quiet", "--python", str(folder / "bin/python"), "--override", str(override)]
        _uv("pip", "install", *words, *requirements)
        listed = json.loads(_uv("pip", "list", "--python", str(folder / "bin/python"), "--format", "json"))
        packages = {package["name"].lower(): package["version"] for package in listed}
        document = {**made_of, "mb": round(megabytes(folder), 1), "packages": packages}
        stamp.write_text(json.dumps(document, indent=1) + "\n")
    document = json.loads(stamp.read_text())
    return Environment(folder=folder, mb=document["mb"], packages=document["packages"])


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
