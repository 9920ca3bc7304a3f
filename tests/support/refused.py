"""A deploy that must fail with these words, and leave nothing: no version, no file, no process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.platform import CommandFailed, Platform


def refused(platform: Platform, path: Path, *said: str, arguments: tuple[str, ...] = ()) -> None:
    """AssertionError unless `inferry deploy PATH` says all of this in its error, and changes nothing."""
    before = _state(platform)
    with pytest.raises(CommandFailed) as failure:
        platform.deploy(path, "refused", *arguments)
    error = json.loads(failure.value.stdout)["error"]
    for words in said:
        assert words in error["message"] + error["help"], (words, error)
    assert _state(platform) == before


def _state(platform: Platform) -> dict[str, Any]:
    folders = {name: sorted(path.name for path in (platform.home / name).iterdir()) for name in ("staging", "bundles")}
    return {"models": platform.cli("models"), "replicas": platform.replica_pids(), **folders}
