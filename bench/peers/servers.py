"""A server of the race as a process: started until it answers, read from /proc, ended with all its own.

Variant and model -> folder of its own and free ports -> process group -> the first right answer (the
start's seconds) -> its processes: those of its session or with BENCH_SERVER, the folder, in their
environment, so that daemons count too and none is left -> stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Protocol

import httpx

from bench.connection import Post
from bench.peers import wire
from bench.peers.catalog import Door, Variant
from bench.peers.environments import Environment, Unavailable, environment
from bench.peers.models import model_file
from bench.peers.starts import APPS, Launch
from tests.support import processes

START_SECONDS = 90.0
STOP_SECONDS = 10.0


class Server(Protocol):
    """What the race needs of a server."""

    name: str
    peer: str
    title: str
    loud: bool

    def prepare(self) -> None:
        """Whatever is needed once: an environment, a deploy. Raises Unavailable."""
        ...

    def start(self) -> float:
        """Start it; seconds until it answered. Raises Unavailable."""
        ...

    def pids(self) -> set[int]:
        """Its processes."""
        ...

    def posts(self, encoding: str) -> list[tuple[str, Post]]:
        """The requests that it takes in an encoding, each with the name of its door."""
        ...

    def grpc(self) -> str:
        """host:port of its gRPC door; empty when it has none."""
        ...

    def grpc_options(self) -> list[str]:
        """perf_analyzer's words for that door: a key, a shape."""
        ...

    def extra_mb(self) -> float:
        """What the model alone added to the installation on disk."""
        ...

    def stop(self) -> None:
        """End it and all that it started."""
        ...


class PeerServer:
    """One variant serving one model."""

    def __init__(self, variant: Variant, model: str, row: wire.Row, folder: Path) -> None:
        self.name, self.peer, self.title, self.loud = variant.name, variant.peer, variant.title, variant.loud
        self._variant, self._model, self._row = variant, model, row
        self._folder = folder / f"{model}-{variant.name}.d"  # no name of these is the beginning of another
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary = ""
        self._port = self._grpc_port = 0

    def prepare(self) -> None:
        environment(self._variant.peer)

    def start(self) -> float:
        made = environment(self._variant.peer)
        self._folder.mkdir(parents=True, exist_ok=True)
        command = self._variant.start(self._launch(made))
        self._temporary = self._temporary or tempfile.mkdtemp(prefix="b-")  # short: Ray puts sockets deep into it
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("INFERRY_")},
            "BENCH_SERVER": str(self._folder),
            "BENCH_MODEL": str(model_file(self._model)),
            "BENCH_SHAPE": ",".join(map(str, self._row.shape)),
            "BENCH_BATCH": str(self._variant.batch),
            "HOME": str(self._folder),
            "TMPDIR": self._temporary,
            "RAY_TMPDIR": self._temporary,
            "RAY_USAGE_STATS_ENABLED": "0",
            **command.variables,
        }
        begun = time.perf_counter()
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command.words, cwd=APPS, env=variables, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        encoding = next(encoding for model, encoding in self._variant.doors if model == self._model)
        _, post = self.posts(encoding)[0]
        while not self._answers(post):
            if self._process.poll() is not None:
                raise Unavailable(f"it ended with {self._process.returncode}: {self._last_words()}")
            if time.perf_counter() - begun > START_SECONDS:
                raise Unavailable(f"it did not answer within {START_SECONDS:g} s: {self._last_words()}")
            time.sleep(0.02)
        return time.perf_counter() - begun

    def _launch(self, made: Environment) -> Launch:
        self._port, self._grpc_port = free_ports()
        return Launch(
            environment=made, model=self._model, file=model_file(self._model), shape=self._row.shape,
            batch=self._variant.batch, folder=self._folder, port=self._port, grpc_port=self._grpc_port,
        )  # fmt: skip

    def _answers(self, post: Post) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.post(post.url, content=post.body, headers=post.headers, timeout=10).status_code == 200
        return False

    def _last_words(self) -> str:
        lines = (self._folder / "log").read_text(errors="replace").strip().splitlines()
        return next((line.strip()[-300:] for line in reversed(lines) if line.strip()), "no output")

    def pids(self) -> set[int]:
        if self._process is None:
            return set()
        return processes.belonging_to([self._folder], self._process.pid)

    def posts(self, encoding: str) -> list[tuple[str, Post]]:
        doors: list[Door] = self._variant.doors.get((self._model, encoding), [])
        return [(door.name, self._post(door)) for door in doors]

    def grpc(self) -> str:
        return f"127.0.0.1:{self._grpc_port}" if self._variant.grpc else ""

    def grpc_options(self) -> list[str]:
        return []

    def extra_mb(self) -> float:
        return 0.0

    def _post(self, door: Door) -> Post:
        body, headers = door.form(self._row)
        return Post(url=f"http://127.0.0.1:{self._port}{door.path}", body=body, headers=headers)

    def stop(self) -> None:
        if self._process is None:
            return
        mine = self.pids()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        processes.kill(self.pids() | {pid for pid in mine if processes.alive(pid)})
        self._process.wait()
        self._process = None
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary = ""


def free_ports() -> tuple[int, int]:
    """Two free ports; the one behind the second is most likely free too."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]
