"""The disk is full during a deploy: 507, serving goes on, nothing is lost, and space is all it takes."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import models, uploads
from tests.support.platform import Platform
from tests.support.refusals import PLAIN, Answer, check, sentences
from tests.support.uploads import tar

SIZE_MB = 24
PREDICTOR = b"class Model:\n    def predict(self, inputs):\n        return inputs\n"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own that holds 24 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    options = f"size={SIZE_MB}m,mode=700"
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def padded(megabytes: int, seed: int = 0) -> bytes:
    """The upload of a Python model with data beside it."""
    return tar({"artifact/model.py": PREDICTOR, "artifact/weights.bin": bytes([seed]) * (megabytes << 20)})


def fill(path: Path, leave: int) -> None:
    """Take all but `leave` bytes of a file system."""
    path.unlink(missing_ok=True)
    space = os.statvfs(path.parent)
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # another may take some meanwhile
        file.write(b"\0" * max(0, space.f_bavail * space.f_frsize - leave))


def state(platform: Platform) -> object:
    return [platform.call("GET", f"/v1/{path}", control=True).json() for path in ("models", "endpoints", "keys")]


@pytest.mark.slow
def test_a_full_disk_refuses_a_deploy_and_nothing_else(small: Path, model_dir: Path) -> None:
    platform = Platform(small / "home")
    try:
        platform.start()
        uploads.deployed(platform, "iris", uploads.model(models.iris_onnx(model_dir)))
        before = state(platform)

        # over the space while it comes, and while it is unpacked
        answer = platform.call("POST", "/v1/endpoints/big/deploy?filename=m", control=True, content=padded(40))
        check(Answer(answer.status_code, dict(answer.headers), answer.content), 507, "storage_full", PLAIN)
        full(uploads.deploy(platform, "big", padded(13)))
        assert list((platform.home / "staging").iterdir()) == []
        assert state(platform) == before

        # no space for anything, not even for a row in the database
        ballast = small / "ballast"
        for leave in (200_000, 40_000, 0):
            fill(ballast, leave)
            answer = platform.call(
                "POST", "/v1/endpoints/other/deploy?filename=m", control=True, content=padded(1, seed=1)
            )
            if answer.status_code == 202:
                full(uploads.follow(platform, answer.json()["operation"]))
            else:
                check(Answer(answer.status_code, dict(answer.headers), answer.content), 507, "storage_full", PLAIN)
            assert state(platform) == before
            for _ in range(20):
                assert platform.predict("iris", models.IRIS_ROWS)["version"] == 1
        name = 0
        while (made := platform.call("POST", "/v1/keys", control=True, json={"name": f"k{name}"})).status_code == 201:
            name += 1
            assert name < 5000
        check(Answer(made.status_code, dict(made.headers), made.content), 507, "storage_full", PLAIN)
        assert platform.predict("iris", models.IRIS_ROWS)["version"] == 1
        assert list((platform.home / "staging").iterdir()) == []

        # space is all it takes
        ballast.unlink()
        assert uploads.deployed(platform, "other", padded(1, seed=1))["version"] == 1
        assert platform.cli("doctor")["ok"] is True
        keys = {key["name"] for key in platform.call("GET", "/v1/keys", control=True).json()["keys"]}
        assert keys == {"admin", "inferry-jobs", *(f"k{number}" for number in range(name))}

        # and what was kept comes back
        assert platform.stop() == 0
        platform.start()
        assert platform.predict("iris", models.IRIS_ROWS)["version"] == 1
    finally:
        platform.close()


def full(operation: dict) -> None:
    """The operation failed for want of space and says so."""
    assert operation["state"] == "failed", operation["result"]
    assert operation["error"]["code"] == "storage_full", operation["error"]
    sentences(operation["error"]["message"], operation["error"]["help"])
