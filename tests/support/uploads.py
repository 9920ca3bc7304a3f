"""Uploads as a client could send them to the control API, good and hostile.

members -> a tar's bytes (ustar headers made by hand where the standard library is too polite)
-> POST .../deploy -> the operation, followed to its end.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.platform import Platform


def tar(members: Mapping[str, bytes]) -> bytes:
    """A plain tar of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def odd_tar(name: str, kind: bytes, target: str = "") -> bytes:
    """A tar with a good file and one entry that is a link, a device or the like."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        good = tarfile.TarInfo("artifact/notes.txt")
        good.size = 2
        archive.addfile(good, io.BytesIO(b"hi"))
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        entry.devmajor, entry.devminor = 1, 3
        archive.addfile(entry)
    return buffer.getvalue()


def model(path: Path, sample: Path | None = None) -> bytes:
    """The upload of one model file, as the client packs it."""
    members = {f"artifact/{path.name}": path.read_bytes()}
    if sample is not None:
        members[f"sample/{sample.name}"] = sample.read_bytes()
    return tar(members)


def deploy(platform: Platform, name: str, upload: bytes, *, filename: str = "model", query: str = "") -> Any:
    """The ended operation of a deploy that was accepted."""
    answer = platform.call(
        "POST", f"/v1/endpoints/{name}/deploy?filename={filename}{query}", control=True, content=upload, timeout=300
    )
    assert answer.status_code == 202, (answer.status_code, answer.text)
    return follow(platform, answer.json()["operation"])


def follow(platform: Platform, operation: str) -> Any:
    """The operation once it has ended."""
    seen = 0
    while True:
        answer = platform.call("GET", f"/v1/operations/{operation}?after={seen}&wait=20", control=True)
        assert answer.status_code == 200, answer.text
        state = answer.json()
        seen += len(state["events"])
        if state["state"] != "running":
            return state


def deployed(platform: Platform, name: str, upload: bytes, **options: Any) -> Any:
    """The result of a deploy that must succeed."""
    state = deploy(platform, name, upload, **options)
    assert state["state"] == "done", state["error"]
    return state["result"]
