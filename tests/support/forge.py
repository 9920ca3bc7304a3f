"""Artifacts made by their own frameworks, each in an environment of its own, once a run.

tests/forge/NAME.py (its packages in a `# /// script` block) -> environment -> the script run in an
empty folder, where it leaves `artifact` (a file or folder), perhaps a sample, and `inputs.npz` with
`expected.npz`: held-out rows, and what the framework itself answers to them -> Forged.
`served` then asks a platform the same rows in plain JSON and in binary, and compares.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uv

from inferry.bundles.requirements import script_requirements
from inferry.environments.pip_settings import read_pip_settings
from tests.support.platform import Platform

SCRIPTS = Path(__file__).parents[1] / "forge"


@dataclass(frozen=True)
class Forged:
    """What a script left in its folder."""

    folder: Path

    @property
    def artifact(self) -> Path:
        """The model: the file or folder that begins with "artifact"."""
        return next(path for path in sorted(self.folder.iterdir()) if path.name.partition(".")[0] == "artifact")

    @property
    def sample(self) -> Path | None:
        """The sample file, when the script left one."""
        return next((path for path in self.folder.iterdir() if path.name.partition(".")[0] == "sample"), None)

    def arrays(self, name: str) -> dict[str, Any]:
        """`inputs` or `expected`."""
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as kept:
            return {key: kept[key] for key in kept.files}


class Forge:
    """Runs the scripts of tests/forge. `root` may be kept between runs."""

    def __init__(self, root: Path, cache: str) -> None:
        self.root, self.cache = root, cache
        root.mkdir(parents=True, exist_ok=True)

    def make(self, name: str) -> Forged:
        """What the script NAME makes; made when it is not there yet."""
        script = SCRIPTS / f"{name}.py"
        digest = hashlib.sha256(sys.version.encode() + script.read_bytes()).hexdigest()[:12]
        folder = self.root / f"{name}-{digest}"
        with (self.root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / ".done").exists():
                folder.mkdir(exist_ok=True)
                self.run(self.python(script_requirements(script.read_bytes())), script, folder)
                (folder / ".done").touch()
        return Forged(folder)

    def python(self, requirements: tuple[str, ...]) -> Path:
        """The interpreter of an environment with these packages, made when it is not there yet."""
        name = hashlib.sha256("\n".join((sys.version, *requirements)).encode()).hexdigest()[:12]
        folder = self.root / f"env-{name}"
        with (self.root / f"env-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / ".done").exists():
                settings = read_pip_settings(os.environ, Path.home(), prefix=Path(sys.base_prefix))
                self._uv("venv", "--clear", "--python", sys.executable, str(folder))
                python = str(folder / "bin/python")
                self._uv("pip", "install", "--python", python, *settings.flags(), *requirements)
                (folder / ".done").touch()
        return folder / "bin/python"

    def run(self, python: Path, script: Path, folder: Path) -> None:
        """Run a script in a folder; its last words are the failure's."""
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            [str(python), str(script)], cwd=folder, env={**os.environ, **quiet}, capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script.name}:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"

    def _uv(self, *words: str) -> None:
        settings = read_pip_settings(os.environ, Path.home(), prefix=Path(sys.base_prefix))
        command = [uv.find_uv_bin(), *words, "--no-config", "--quiet", "--cache-dir", self.cache]
        done = subprocess.run(command, env=settings.environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"uv {' '.join(words)}:\n{done.stderr[-3000:]}"


def served(platform: Platform, endpoint: str, forged: Forged, *, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """The endpoint answers the held-out rows as the framework did, in plain JSON and in binary."""
    inputs, expected = forged.arrays("inputs"), forged.arrays("expected")
    for answers in (binary_answers(platform, endpoint, inputs), json_answers(platform, endpoint, inputs)):
        for name, wanted in expected.items():
            assert name in answers, f"{endpoint}: no output {name!r} among {sorted(answers)}"
            same(answers[name], wanted, f"{endpoint}: {name}", rtol, atol)


def same(got: Any, wanted: Any, what: str, rtol: float, atol: float) -> None:
    """Numbers within the tolerance, everything else equal."""
    wanted = np.asarray(wanted)
    if wanted.dtype.kind == "f":
        got = np.asarray(got, dtype=np.float64).reshape(wanted.shape)
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol, err_msg=what)
    else:
        assert np.asarray(got).reshape(wanted.shape).tolist() == wanted.tolist(), what


def json_answers(platform: Platform, endpoint: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs by name, asked in the Open Inference Protocol's JSON."""
    body = {
        "inputs": [
            {"name": name, "shape": list(array.shape), "datatype": _datatype(array), "data": _plain(array)}
            for name, array in inputs.items()
        ]
    }
    answer = platform.call("POST", f"/v2/models/{endpoint}/infer", json=body)
    assert answer.status_code == 200, answer.text
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer.json()["outputs"]}


def binary_answers(platform: Platform, endpoint: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs by name, asked by tritonclient with binary tensors."""
    import tritonclient.http as triton

    with triton.InferenceServerClient(platform.http.removeprefix("http://"), network_timeout=120) as client:
        given = []
        for name, array in inputs.items():
            one = triton.InferInput(name, list(array.shape), _datatype(array))
            one.set_data_from_numpy(array.astype(object) if array.dtype.kind == "U" else array, binary_data=True)
            given.append(one)
        answer = client.infer(endpoint, given, headers={"authorization": f"Bearer {platform.key}"})
        outputs = {one["name"]: answer.as_numpy(one["name"]) for one in answer.get_response()["outputs"]}
    return {name: _text(array) for name, array in outputs.items()}


def _text(array: Any) -> Any:
    if array.dtype.kind not in "OS":
        return array
    texts = [item.decode() if isinstance(item, bytes) else item for item in array.ravel().tolist()]
    return np.array(texts, dtype=object).reshape(array.shape)


def _datatype(array: Any) -> str:
    from tritonclient.utils import np_to_triton_dtype

    return "BYTES" if array.dtype.kind == "U" else str(np_to_triton_dtype(array.dtype))


def _plain(array: Any) -> Any:
    if array.dtype.kind == "f":
        return [None if value != value else value for value in array.ravel().tolist()]
    return array.ravel().tolist()
