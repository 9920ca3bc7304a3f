"""A server that computes nothing: nginx with a constant answer, one worker.

What it shows at half load is what the generator and the machine make of a server that could hardly be
quicker. It takes part where nginx is installed, and only there.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from bench.connection import Post
from bench.peers import wire
from bench.peers.environments import Unavailable
from bench.peers.servers import free_ports
from tests.support import processes

START_SECONDS = 10.0
_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ default_type application/json; return 200 '{{"predictions":[0]}}'; }}
    }}
}}
"""


class ConstantServer:
    """It takes the requests that the others take, and answers them all alike."""

    name, peer, title, loud = "nginx", "nginx", "nginx, a constant answer", False

    def __init__(self, row: wire.Row) -> None:
        self._row = row
        self._folder = Path(tempfile.mkdtemp(prefix="b-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def prepare(self) -> None:
        if not shutil.which("nginx"):
            raise Unavailable("nginx is not installed")

    def start(self) -> float:
        self.prepare()
        self._port, _ = free_ports()
        configuration = self._folder / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(folder=self._folder, port=self._port))
        begun = time.perf_counter()
        with (self._folder / "log").open("wb") as log:
            words = ["nginx", "-e", str(self._folder / "log"), "-c", str(configuration)]
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        [(_, post)] = self.posts("json")
        while not self._answers(post):
            if self._process.poll() is not None or time.perf_counter() - begun > START_SECONDS:
                raise Unavailable(f"nginx does not answer: {(self._folder / 'log').read_text()[-300:]}")
            time.sleep(0.02)
        return time.perf_counter() - begun

    def _answers(self, post: Post) -> bool:
        try:
            return httpx.post(post.url, content=post.body, headers=post.headers, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def pids(self) -> set[int]:
        return set(processes.tree(self._process.pid)) if self._process else set()

    def posts(self, encoding: str) -> list[tuple[str, Post]]:
        if encoding != "json":
            return []
        body, headers = wire.rows(self._row)
        return [("", Post(url=f"http://127.0.0.1:{self._port}/", body=body, headers=headers))]

    def grpc(self) -> str:
        return ""

    def grpc_options(self) -> list[str]:
        return []

    def extra_mb(self) -> float:
        return 0.0

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=START_SECONDS)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)
