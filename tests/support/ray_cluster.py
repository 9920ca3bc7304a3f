"""A Ray cluster of several nodes on this machine: a head on a bridge, and nodes in network namespaces of their own.

Needs root, `ip` and the package ray. Names, addresses and the token are unique, so that clusters can be beside each
other. What is started carries a mark in its environment and is ended by it, never by name; what a test run left that
was killed is removed by the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RAY = Path(sys.executable).with_name("ray")
STATES = Path(tempfile.gettempdir())
PREFIX = "ifr"
START_S = 180.0
MARK = "INFERRY_TEST_RAY_MARK"


def missing() -> str:
    """Why no cluster can be made here, empty when one can."""
    if not RAY.exists():
        return "the package ray is not installed (pip install 'inferry[ray]')"
    if shutil.which("ip") is None:
        return "the program ip is not installed (apt-get install iproute2)"
    probe = f"{PREFIX}-probe-{secrets.token_hex(2)}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"network namespaces cannot be made here: {made.stderr.strip() or 'not permitted'}"
    subprocess.run(["ip", "netns", "del", probe], check=False)
    return ""


class RayCluster:
    """A head that runs no replicas, and `nodes` nodes. `address` is what drivers connect to, `env` what they need."""

    def __init__(
        self, nodes: int = 3, cpus: int = 2, resources: dict[int, dict[str, float]] | None = None,
        hidden: dict[int, Path] | None = None, variables: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        """`resources`: custom ones by node (1, 2...); GPU among them declares GPUs that are not there. `hidden`: a folder
        that a node does not see, as when it has disks of its own. `variables`: more of the nodes' environment."""
        clean_up()
        self.id = secrets.token_hex(3)
        self.folder = STATES / f"{PREFIX}{self.id}"
        self.folder.mkdir(mode=0o700)
        self.count, self.cpus, self.resources = nodes, cpus, resources or {}
        self.hidden, self.variables = hidden or {}, variables or {}
        self.bridge, self.net = f"{PREFIX}{self.id}", f"10.77.{free_subnet()}"
        self.ip = f"{self.net}.254"
        self.env = {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_DISABLE_IMPORT_WARNING": "1",
        }  # fmt: skip
        self.address = ""
        (self.folder / "state.json").write_text(json.dumps({"pid": os.getpid(), "nodes": nodes}))

    def start(self) -> RayCluster:
        """Start all nodes and wait until they have joined."""
        run("ip", "link", "add", self.bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self.ip}/24", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        self.address = f"{self.ip}:{free_port(self.ip)}"
        port = self.address.rpartition(":")[2]
        self._ray(
            0, "--head", f"--port={port}", "--include-dashboard=false", "--num-cpus=0", f"--temp-dir={self.folder}/t"
        )
        for node in range(1, self.count + 1):
            self._connect(node)
        starting = []
        for node in self._nodes():
            starting.append(self._begin(node, f"--address={self.address}", f"--num-cpus={self.cpus}"))
            self._await_socket(node, starting[-1])
        for process in starting:
            self._await(process)
        return self

    def name(self, node: int) -> str:
        """The network namespace of a node."""
        return f"{PREFIX}{self.id}-{node}"

    def ip_of(self, node: int) -> str:
        """A node's address."""
        return f"{self.net}.{node}" if node else self.ip

    def pids(self, node: int) -> list[int]:
        """All processes of a node, those of its replicas among them."""
        if node:
            listed = subprocess.run(
                ["ip", "netns", "pids", self.name(node)], capture_output=True, text=True, check=False
            )
            inside = {int(pid) for pid in listed.stdout.split()}
            return sorted(inside | set(marked(f"{self.id}-{node}")))
        return marked(f"{self.id}-{node}")

    def kill(self, node: int) -> None:
        """SIGKILL every process of a node at once, as when its power is gone; its network stays."""
        kill(lambda: self.pids(node))

    def cut(self, node: int) -> None:
        """Take a node off the network: nothing of it is heard any more, nothing says so."""
        run("ip", "link", "set", f"{self.bridge}n{node}", "down")

    def close(self) -> None:
        """End every process and remove the network."""
        remove(self.folder, self.count)

    def _nodes(self) -> range:
        return range(1, self.count + 1)

    def _connect(self, node: int) -> None:
        name, outer, inner = self.name(node), f"{self.bridge}n{node}", f"{self.bridge}v{node}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
        run("ip", "link", "set", inner, "netns", name)
        run("ip", "link", "set", outer, "master", self.bridge, "up")
        run("ip", "-n", name, "addr", "add", f"{self.ip_of(node)}/24", "dev", inner)
        run("ip", "-n", name, "link", "set", inner, "up")
        run("ip", "-n", name, "link", "set", "lo", "up")

    def _ray(self, node: int, *arguments: str) -> None:
        self._await(self._begin(node, *arguments))

    def _begin(self, node: int, *arguments: str) -> subprocess.Popen[str]:
        inside = ["ip", "netns", "exec", self.name(node)] if node else []
        if node in self.hidden:
            inside += ["sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(self.hidden[node])]
        given = dict(self.resources.get(node, {}))
        gpus = given.pop("GPU", 0)
        return subprocess.Popen(
            [*inside, str(RAY), "start", *arguments, f"--node-ip-address={self.ip_of(node)}",
             "--object-store-memory=100000000", f"--num-gpus={gpus:g}", f"--resources={json.dumps(given)}",
             "--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"],
            env={**os.environ, **self.env, **self.variables, MARK: f"{self.id}-{node}",
                 "INFERRY_NODE_HOME": f"{self.folder}/home-{node}"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def _await_socket(self, node: int, process: subprocess.Popen[str]) -> None:
        """Until a node has its sockets: the next one chooses other names in the same folder."""
        deadline = time.monotonic() + START_S
        while len(list(self.folder.glob("t/session_2*/sockets/raylet*"))) <= node and process.poll() is None:
            assert time.monotonic() < deadline, "no raylet"
            time.sleep(0.05)

    def _await(self, process: subprocess.Popen[str]) -> None:
        said, _ = process.communicate(timeout=START_S)
        if process.returncode:
            raise AssertionError(f"ray start failed ({process.returncode}):\n{said}")


def run(*command: str) -> None:
    """A command that must work."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"


def free_port(host: str) -> int:
    """A port that nobody listens on now, below those that the kernel hands out."""
    for port in range(20_000 + secrets.randbelow(5000), 32_000):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind((host, port))
            return port
    raise AssertionError("no free port")


def free_subnet() -> int:
    """The third number of a 10.77 network that is not there yet."""
    there = subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True, check=True).stdout
    return next(number for number in range(1, 255) if f"10.77.{number}." not in there)


def marked(mark: str) -> list[int]:
    """Every process that carries a mark."""
    found, wanted = [], f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return sorted(found)


def kill(pids) -> None:
    """SIGKILL until none is left."""
    deadline = time.monotonic() + 30
    while left := pids():
        assert time.monotonic() < deadline, f"processes that do not end: {left}"
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def remove(folder: Path, nodes: int) -> None:
    """End what a cluster started, and remove its namespaces, its bridge and its files."""
    id = folder.name.removeprefix(PREFIX)
    for node in range(nodes, -1, -1):
        name = f"{PREFIX}{id}-{node}"
        if node:
            listed = lambda name=name: [  # noqa: E731
                int(pid)
                for pid in subprocess.run(
                    ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
                ).stdout.split()
            ]
            kill(listed)
        kill(lambda node=node: marked(f"{id}-{node}"))
        if node:
            for thing in (("netns", "del", name), ("link", "del", f"{PREFIX}{id}n{node}")):
                subprocess.run(["ip", *thing], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", f"{PREFIX}{id}"], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def clean_up() -> None:
    """Remove the clusters of test runs that are gone."""
    for state in STATES.glob(f"{PREFIX}*/state.json"):
        with contextlib.suppress(ValueError, OSError):
            told = json.loads(state.read_text())
            if not Path(f"/proc/{told['pid']}").exists():
                remove(state.parent, told["nodes"])
