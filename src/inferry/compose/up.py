"""`inferry up`: the supervisor. Binds the ports, starts control, gateways and jobs, restarts what dies.

Data flow: settings -> lock on the home -> listeners -> child processes that inherit them, a
pipe to say "ready", one to read secrets from, and a lifeline -> wait. The lifeline is a pipe whose other end only this
process holds: however it dies, every process of the platform sees it close and exits.
The ports stay bound while a child restarts, so a client's connection waits instead of failing. The jobs process is
there while there are jobs: it sleeps until control tells of some, or somebody knocks at its socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from inferry.compose.database_url import SECRETS, find_database
from inferry.compose.groups import find_groups
from inferry.compose.home import PEPPER_FILE, first_pepper, lock, make_run
from inferry.compose.ports import bind, private, target_of, url_of
from inferry.compose.settings import (
    ASLEEP,
    CONTROL_COUNTS,
    CONTROL_LIMITS,
    GATEWAY_LIMITS,
    JOBS_COUNTS,
    JOBS_KEPT,
    READY,
    STEPPED_DOWN,
    ControlSettings,
    GatewaySettings,
    JobsSettings,
    Layout,
    choose_ray,
    gateway_name,
    read_budget,
    read_counts,
    read_limits,
)
from inferry.compose.supervision import Waker, descendants, hand_over
from inferry.errors import InferryError, InvalidInput, Unavailable
from inferry.objects import parse_object_url
from inferry.security.files import private_dir, write_private

START_S = 60.0
DRAIN_S = 30.0
LAST_BACKOFF_S = 5.0
LOOK_S = 5.0
BLOBS = "INFERRY_BLOBS"
PR_SET_CHILD_SUBREAPER = 36
KINDS: dict[str, type[msgspec.Struct]] = {
    "gateway": GatewaySettings, "control": ControlSettings, "jobs": JobsSettings,
}  # fmt: skip
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass
class Child:
    """One supervised process. `asleep`: it is started when somebody needs it."""

    name: str
    module: str
    settings: dict[str, Any]
    listeners: dict[str, socket.socket]
    secrets: dict[str, str] = field(default_factory=dict)
    kind: str = ""
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    started: float = 0.0
    due: float = field(default=0.0)
    asleep: bool = False


class Supervisor:
    """The platform on one machine."""

    def __init__(
        self, home: Path, host: str, port: int, grpc_port: int, control_port: int, database: str, standbys: int,
        blobs: str, ray: str = "", budget: str = "", gateways: int = 1,
    ) -> None:  # fmt: skip
        if host not in LOOPBACK:
            raise InvalidInput(
                f"Listening on {host} without TLS would send keys in the clear.",
                help="Listen on 127.0.0.1 and put a TLS proxy in front.",
            )
        gateway_limits = read_limits(os.environ, GATEWAY_LIMITS)
        control_limits = read_limits(os.environ, CONTROL_LIMITS)
        control_counts = read_counts(os.environ, CONTROL_COUNTS)
        blobs = blobs or os.environ.get(BLOBS, "")
        if blobs:
            parse_object_url(blobs)
        jobs_counts = read_counts(os.environ, JOBS_COUNTS)
        memory_budget = read_budget(budget or os.environ.get("INFERRY_MEMORY_BUDGET", ""))
        url = find_database(database, os.environ)
        if standbys and not url:
            raise InvalidInput(
                "Standbys need PostgreSQL: who leads is decided there.",
                help="Set INFERRY_DATABASE_URL (docs/tasks/database.md), or leave --standbys out.",
            )
        private_dir(home)
        self.lock = lock(home / "lock")
        try:
            http = bind(host, port, "inference", gateways)
            grpc = bind(host, grpc_port, "gRPC", gateways)
            (control,) = bind(host, control_port, "control")
        except InferryError:
            self.lock.close()
            raise
        self.layout = Layout(home, make_run(home))
        for folder in (self.layout.logs, self.layout.staging, self.layout.bundles, self.layout.environments):
            private_dir(folder)
        if not self.layout.pepper.exists():
            write_private(self.layout.pepper, first_pepper(os.environ.get(PEPPER_FILE, "")))
        self.lifeline, self.hold = os.pipe()
        os.set_inheritable(self.hold, False)
        self.http, self.grpc, self.control = url_of(http[0]), target_of(grpc[0]), url_of(control)
        variables = {k: v for k, v in os.environ.items() if carried(k)}
        shared = {"home": str(home), "run": str(self.layout.run), "lifeline": self.lifeline}
        of_control = {"http": self.http, "variables": variables, "ray": ray, "standbys": standbys, "blobs": blobs}
        of_control |= {"memory_budget": memory_budget, "gateways": gateways, **control_limits, **control_counts}
        names = ["control", *(f"control-{number}" for number in range(2, standbys + 2))]
        self.controls = [
            Child(
                name,
                "inferry.compose.control",
                {**shared, **of_control, "log": name, "waits": name != "control"},
                {"listener": control},
                {"database": url},
                "control",
            )
            for name in names
        ]
        limits = {**shared, **gateway_limits}
        self.gateways = [
            Child(
                gateway_name(number),
                "inferry.compose.gateway",
                {**limits, "number": number, "gateways": gateways, "log": gateway_name(number)},
                dict(zip(("listener", "grpc"), listeners, strict=True)),
                kind="gateway",
            )
            for number, listeners in enumerate(zip(http, grpc, strict=True), 1)
        ]
        of_jobs = {**shared, "http": self.http, **jobs_counts}
        self.door = private(self.layout.jobs_socket)
        self.jobs = Child("jobs", "inferry.compose.jobs", of_jobs, {"listener": self.door}, {"database": url})
        self.jobs.asleep = True
        self.children = [*self.controls, *self.gateways, self.jobs]
        self.stopping = False

    def start(self) -> None:
        """Start the processes and wait until they are ready."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self.waker = Waker()
        standbys = self.controls[1:]  # they come when there is somebody to wait behind
        for children in ([self.controls[0], *self.gateways], standbys):
            pipes = [] if self.stopping else [self._spawn(child) for child in children]
            deadline = time.monotonic() + START_S
            for child, pipe in zip(children, pipes, strict=False):
                if self._await_ready(child, pipe, deadline) == JOBS_KEPT:
                    self.jobs.asleep = False
        if any(self.layout.jobs.glob("*")):  # bodies that no job has are swept away when it starts
            self.jobs.asleep = False
        self.addresses = {"http": self.http, "grpc": self.grpc, "control": self.control, "pid": os.getpid()}
        write_private(self.layout.addresses, json.dumps(self.addresses).encode())

    def run(self) -> int:
        """Keep it going until a signal comes. Returns the exit code."""
        while not self.stopping:
            self._reap()
            for child in self.children:
                if child.process is None and not child.asleep and time.monotonic() >= child.due:
                    os.close(self._spawn(child))
            gone = [child.due for child in self.children if child.process is None and not child.asleep]
            pause = min((due - time.monotonic() for due in gone), default=LOOK_S)
            if self.waker.wait(pause, [self.door] if self.jobs.asleep else []):
                self.jobs.asleep = False
        return self.stop()

    def stop(self) -> int:
        """Drain the gateway, stop control, let go of the lifeline, and see that all are gone."""
        self.layout.addresses.unlink(missing_ok=True)
        self._end(self.jobs, 10.0)
        self.door.close()  # whoever waits there is told
        self._end_all(self.gateways, DRAIN_S)
        self._end_all(self.controls, 10.0)  # none shall lead when another goes
        os.close(self.hold)
        deadline = time.monotonic() + 5.0
        while descendants() and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.02)
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reap()
        find_groups(self.layout.home, os.getpid()).clear()
        shutil.rmtree(self.layout.run, ignore_errors=True)
        (self.layout.home / "run").unlink(missing_ok=True)
        self.lock.close()
        return 0

    def _spawn(self, child: Child) -> int:
        """Start a child; returns the pipe on which it says that it is ready."""
        ready, tell = os.pipe()
        listeners = {name: sock.fileno() for name, sock in child.listeners.items()}
        handed = {name: hand_over(text) for name, text in child.secrets.items()}
        settings = msgspec.convert(
            {**child.settings, **listeners, **handed, "ready": tell}, KINDS[child.kind or child.name]
        )
        log = os.open(self.layout.logs / f"{child.name}.out", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        child.started = time.monotonic()
        child.process = subprocess.Popen(
            [sys.executable, "-P", "-m", child.module, msgspec.json.encode(settings).decode()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={name: value for name, value in os.environ.items() if name not in SECRETS},
            pass_fds=(*listeners.values(), *handed.values(), self.lifeline, tell),
        )
        for descriptor in (tell, log, *handed.values()):
            os.close(descriptor)
        return ready

    def _await_ready(self, child: Child, pipe: int, deadline: float) -> bytes:
        """Until the child is ready; its word. Raises Unavailable with the child's own words when it gave up."""
        word = b""
        with os.fdopen(pipe, "rb", buffering=0) as reader:
            while not word and time.monotonic() < deadline and not self.stopping:
                if select.select([reader], [], [], 0.1)[0]:
                    word = reader.read(4096)
                    break
        if word in (READY, JOBS_KEPT) or self.stopping:
            return word
        self.stop()
        raise Unavailable(
            f"The {child.name} process did not start. {word.decode('utf-8', 'replace')}".strip(),
            help=f"See {child.name}.log and {child.name}.out in {self.layout.logs}.",
        )

    def _end_all(self, children: Sequence[Child], seconds: float) -> None:
        """All at once."""
        for child in children:
            if child.process is not None:
                child.process.terminate()
        for child in children:
            self._end(child, seconds)

    def _end(self, child: Child, seconds: float) -> None:
        process = child.process
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        if process.poll() is None:
            process.kill()
            process.wait()

    def _reap(self) -> None:
        """Take note of dead children, ours and those that were left to us."""
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                if child.process.returncode == STEPPED_DOWN and not self.stopping:
                    print(f"{child.name} leads no longer; it waits to lead again", file=sys.stderr)
                elif child.process.returncode == ASLEEP:
                    child.asleep = True
                elif not self.stopping:
                    lived = time.monotonic() - child.started
                    child.deaths = 1 if lived > 10.0 else child.deaths + 1
                    pause = min(LAST_BACKOFF_S, 0.1 * 2 ** (child.deaths - 2)) if child.deaths > 1 else 0.0
                    child.due = time.monotonic() + pause
                    print(f"{child.name} died (exit {child.process.returncode}); restarting", file=sys.stderr)
                child.process = None
        ours = {child.process.pid for child in self.children if child.process is not None}
        for pid in descendants(direct=True) - ours:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _on_signal(self, *_: object) -> None:
        self.stopping = True


def carried(name: str) -> bool:
    """Environment variables that pip's settings and children's processors need."""
    exact = {"HOME", "PATH", "NETRC", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    return name in exact or name.startswith(("PIP_", "UV_", "OPENBLAS_", "XDG_")) or name.lower().endswith("_proxy")


def run(
    home: Path,
    host: str,
    port: int,
    grpc_port: int,
    control_port: int,
    database: str,
    standbys: int,
    blobs: str,
    ready_file: Path | None,
    json_output: bool,
    backend: str = "",
    ray_address: str = "",
    budget: str = "",
    gateways: int = 1,
) -> int:
    """Start the platform and stay until it is stopped."""
    os.umask(0o077)
    ray = choose_ray(backend, ray_address, os.environ)
    supervisor = Supervisor(home, host, port, grpc_port, control_port, database, standbys, blobs, ray, budget, gateways)
    supervisor.start()
    if supervisor.stopping:
        return supervisor.stop()
    if ready_file is not None:
        write_private(ready_file, json.dumps(supervisor.addresses).encode())
    if json_output:
        print(json.dumps(supervisor.addresses), flush=True)
    else:
        print(f"Inferry is up.\n  inference  {supervisor.http}\n  gRPC       {supervisor.grpc}", flush=True)
        print(f"  control    {supervisor.control}", flush=True)
        print(f"  key        {supervisor.layout.admin_key}\nStop it with Ctrl-C.", flush=True)
    return supervisor.run()
