"""Inferry in the race: `inferry up` and `inferry deploy` as a person would type them, key checked, all defaults.

The model is deployed once; a start is `inferry up` over that home until a prediction is answered.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path

import httpx

from bench.connection import Post
from bench.peers import wire
from bench.peers.environments import Unavailable, megabytes
from bench.peers.models import FOLDER, model_file
from bench.peers.wire import Form
from tests.support.platform import START_SECONDS, CommandFailed, Platform

DOORS: dict[tuple[str, str], list[tuple[str, str, Form]]] = {
    ("tiny", "json"): [("plain", "/predict/m", wire.rows), ("OIP", "/v2/models/m/infer", wire.oip)],
    ("mlp", "json"): [("plain", "/predict/m", wire.rows), ("OIP", "/v2/models/m/infer", wire.oip)],
    ("mlp", "binary"): [("OIP", "/v2/models/m/infer", wire.oip_binary)],
    ("image", "binary"): [("OIP", "/v2/models/m/infer", wire.oip_binary)],
    ("table", "json"): [("plain", "/predict/m", wire.records)],
}


class InferryServer:
    """A platform with one endpoint."""

    name, peer, title, loud = "inferry", "inferry", "Inferry", False

    def __init__(self, model: str, row: wire.Row, folder: Path) -> None:
        self._model, self._row = model, row
        self.platform = Platform(folder / f"{model}-inferry.d")
        self._deployed = False

    def prepare(self) -> None:
        """Deploy the model, once."""
        if self._deployed:
            return
        shutil.rmtree(self.platform.home, ignore_errors=True)
        sample = FOLDER / "table.csv" if self._model == "table" else None
        try:
            self.platform.start()
            self.platform.deploy(model_file(self._model), "m", sample=sample)
            self._deployed = True
        except CommandFailed as failure:
            raise Unavailable(f"deploy failed: {failure.stderr.strip()[-300:]}") from failure
        except AssertionError as failure:
            raise Unavailable(str(failure)[-300:]) from failure
        finally:
            self.platform.close()

    def start(self) -> float:
        begun = time.perf_counter()
        try:
            self.platform.start()
        except AssertionError as failure:
            raise Unavailable(str(failure)[-300:]) from failure
        _, post = next(door for encoding in ("json", "binary") for door in self.posts(encoding))
        while httpx.post(post.url, content=post.body, headers=post.headers, timeout=30).status_code != 200:
            if time.perf_counter() - begun > START_SECONDS:
                raise Unavailable(f"no prediction within {START_SECONDS:g} s")
            time.sleep(0.02)
        return time.perf_counter() - begun

    def pids(self) -> set[int]:
        return self.platform.processes() if self.platform.process else set()

    def posts(self, encoding: str) -> list[tuple[str, Post]]:
        key = {"authorization": f"Bearer {self.platform.key}"}
        found = []
        for name, path, form in DOORS.get((self._model, encoding), []):
            body, headers = form(self._row)
            found.append((name, Post(url=self.platform.http + path, body=body, headers={**headers, **key})))
        return found

    def grpc(self) -> str:
        ready = self.platform.home.with_name(self.platform.home.name + ".ready")
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(ready.read_text()).get("grpc", "")).removeprefix("http://").removeprefix("grpc://")
        return ""

    def grpc_options(self) -> list[str]:
        return [
            "--shape",
            f"x:{','.join(map(str, (1, *self._row.shape)))}",
            "-H",
            f"authorization:Bearer {self.platform.key}",
        ]

    def extra_mb(self) -> float:
        """The model's own environment, when the platform's packages do not serve it."""
        return megabytes(self.platform.home / "envs")

    def stop(self) -> None:
        self.platform.close()
