"""A platform under test: `inferry up` in a process group and home of its own, and a hand on it.

start -> addresses from the ready file, key from the home -> CLI and HTTP calls -> stop, or
kill -9 and start again over the same home; `close` stops it and counts what it left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.support import processes

START_SECONDS = 60.0
STOP_SECONDS = 40.0


def inferry_command() -> list[str]:
    """The installed command, or the same entry point when only the source is on the path."""
    script = Path(sys.executable).with_name("inferry")
    if script.exists():
        return [str(script)]
    return [sys.executable, "-c", "from inferry.cli.main import main; main()"]


class CommandFailed(AssertionError):
    """A command line call ended with an exit code other than 0."""

    def __init__(self, result: subprocess.CompletedProcess[str]) -> None:
        super().__init__(f"{result.args} -> {result.returncode}\n{result.stdout}\n{result.stderr}")
        self.code, self.stdout, self.stderr = result.returncode, result.stdout, result.stderr


class Platform:
    """`inferry up` on free ports over `home`. `command`: the program, when it is not the one under test. `claims`: a
    folder in which each test file leaves the endpoint names that it deploys to, when several share the platform."""

    def __init__(
        self, home: Path, *arguments: str, env: dict[str, str] | None = None, command: list[str] | None = None,
        claims: Path | None = None,
    ) -> None:  # fmt: skip
        self.command = command or inferry_command()
        self.home = home
        self.claims = claims
        self.arguments = arguments
        clean = {name: value for name, value in os.environ.items() if not name.startswith("INFERRY_")}
        clean.pop("PYTEST_CURRENT_TEST", None)
        self.env = {**clean, "INFERRY_HOME": str(home), **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.log = home.with_name(home.name + ".log")
        self.http = self.grpc = self.control = self.key = ""
        self.sockets = home / "run"

    def start(self) -> Platform:
        """Start and wait until the ready file is there."""
        ready = self.home.with_name(self.home.name + ".ready")
        ready.unlink(missing_ok=True)
        ports = ["--port", "0", "--grpc-port", "0", "--control-port", "0", "--ready-file", str(ready)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "up", *ports, *self.arguments],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"inferry up is not ready (exit {self.process.poll()}):\n{self.output()}")
            time.sleep(0.02)
        addresses = json.loads(ready.read_text())
        self.http, self.grpc, self.control = addresses["http"], addresses["grpc"], addresses["control"]
        self.key = (self.home / "admin.key").read_text().strip()
        self.sockets = (self.home / "run").resolve()
        return self

    @property
    def pid(self) -> int:
        """The supervisor's process id, also its group and session."""
        if self.process is None:
            raise AssertionError("the platform was never started")
        return self.process.pid

    def output(self) -> str:
        """All that `inferry up` printed."""
        return self.log.read_text(errors="replace")

    # -- speaking to it

    def run(self, *arguments: str, timeout: float = 300, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """An `inferry` command as a person would type it."""
        return subprocess.run(
            [*self.command, *arguments], env=self.env, cwd=cwd, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def cli(self, *arguments: str, timeout: float = 300) -> Any:
        """The JSON document that `inferry ... --json` prints. Raises CommandFailed."""
        result = self.run(*arguments, "--json", timeout=timeout)
        if result.returncode != 0:
            raise CommandFailed(result)
        return json.loads(result.stdout) if result.stdout.strip() else None

    def deploy(self, path: Path, name: str, *arguments: str, sample: Path | None = None, timeout: float = 300) -> Any:
        """`inferry deploy PATH --name NAME`, with its JSON answer."""
        extra = ["--sample", str(sample)] if sample else []
        made = self.cli("deploy", str(path), "--name", name, *extra, *arguments, timeout=timeout)
        self._claim(name)
        return made

    def _claim(self, name: str) -> None:
        """Which tests meet on one platform is chance; that two files use one name is found whether or not they meet."""
        if self.claims is None:
            return
        frame = sys._getframe(2)
        while "/tests/support/" in frame.f_code.co_filename and frame.f_back is not None:
            frame = frame.f_back
        self.claims.mkdir(exist_ok=True)
        (self.claims / f"{name}@{Path(frame.f_code.co_filename).name}").touch()
        files = sorted(path.name.partition("@")[2] for path in self.claims.glob(f"{name}@*"))
        assert len(files) == 1, f"the endpoint name {name!r} is used by {' and '.join(files)}: give one another name"

    def call(self, method: str, path: str, *, key: str | None = None, control: bool = False, **options: Any):
        """One HTTP request with the admin key (or `key`; "" for none) to the inference or control door."""
        key = self.key if key is None else key
        headers = {**({"authorization": f"Bearer {key}"} if key else {}), **options.pop("headers", {})}
        options.setdefault("timeout", 60)
        return httpx.request(method, (self.control if control else self.http) + path, headers=headers, **options)

    def predict(self, endpoint: str, body: Any, **options: Any) -> Any:
        """The parsed answer of `POST /predict/{endpoint}`; AssertionError when it is not 200."""
        answer = self.call("POST", f"/predict/{endpoint}", json=body, **options)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    # -- its processes

    def processes(self) -> set[int]:
        """Every process of the platform that runs now."""
        found = processes.belonging_to([self.home, self.sockets], self.pid)
        if self.process is not None and self.process.poll() is None:  # else its id may be another's by now
            found |= set(processes.tree(self.pid))
        return found

    def gateway_pid(self) -> int:
        """The process that serves the inference port."""
        return self._listener(self.http)

    def gateway_pids(self) -> list[int]:
        """All of them."""
        return self._listeners(self.http)

    def control_pid(self) -> int:
        """The process that serves the control port."""
        return self._listener(self.control)

    def _listener(self, url: str) -> int:
        pids = self._listeners(url)
        assert len(pids) == 1, f"one child of the supervisor listens on {url}, not {pids}"
        return pids[0]

    def _listeners(self, url: str) -> list[int]:
        port = urlsplit(url).port
        assert port is not None
        return [pid for pid in processes.tcp_listeners(port) if processes.parent(pid) == self.pid]

    def replica_pids(self) -> list[int]:
        """The replicas: processes that listen on a replica's socket."""
        listeners = processes.unix_listeners(self.sockets)
        replicas = (pids for path, pids in listeners.items() if Path(path).match("r-*.sock"))
        return sorted({pid for pids in replicas for pid in pids})

    def share_environments(self, folder: Path) -> None:
        """Build environments in a folder that other platforms share, from now on; nothing is built yet.

        For platforms that delete no model and are not started again: then each removes what only others need.
        """
        own = self.home / "envs"
        for part in own.iterdir():
            (folder / part.name).mkdir(mode=0o700, parents=True, exist_ok=True)
        own.rename(own.with_name("envs.own"))
        own.symlink_to(folder)

    # -- ending it

    def stop(self) -> int:
        """SIGTERM, as a service manager does; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill9(self) -> None:
        """SIGKILL the whole process group at once; what is left must end by itself."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        processes.wait_until(lambda: not self.processes(), 10, "orphans of a killed platform end by themselves")

    def close(self) -> None:
        """Stop when it runs, and raise AssertionError when any process of it is left."""
        if self.process is None:
            return
        try:
            self.stop()
            processes.wait_until(lambda: not self.processes(), 5, "no process is left after `inferry up` ended")
        finally:
            processes.kill(self.processes())
            shutil.rmtree(self.sockets, ignore_errors=True)  # left there by a kill -9
