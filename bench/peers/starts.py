"""How each peer is started: a command, its variables, and the files that it wants to find.

Launch (environment, model, ports, a folder) -> Command. One worker or replica each, the same
onnxruntime session, access logs off where a setting exists, everything else as the peer has it by
default. All run with bench/peers/apps as working directory.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers.environments import ROOT, Environment, Unavailable

APPS = ROOT / "bench/peers/apps"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What a start is given: whose environment, which model, which ports, a folder for files of its own."""

    environment: Environment
    model: str
    file: Path
    shape: tuple[int, ...]
    batch: int
    folder: Path
    port: int
    grpc_port: int


@dataclass(frozen=True, kw_only=True)
class Command:
    """A process to start: its words, and variables beside BENCH_*."""

    words: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)


Start = Callable[[Launch], Command]


def uvicorn(app: str) -> Start:
    def command(launch: Launch) -> Command:
        options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        words = [str(launch.environment.python), "-m", "uvicorn", f"{app}:app", "--port", str(launch.port), *options]
        return Command(words=words)

    return command


def script(name: str, variables: Mapping[str, str] | None = None) -> Start:
    def command(launch: Launch) -> Command:
        words = [str(launch.environment.python), f"{name}.py", str(launch.port)]
        return Command(words=words, variables=variables or {})

    return command


def mosec(variables: Mapping[str, str] | None = None) -> Start:
    def command(launch: Launch) -> Command:
        words = [str(launch.environment.python), "mosec_app.py", "--port", str(launch.port), "--address", "127.0.0.1"]
        return Command(words=[*words, "--log-level", "warning"], variables=variables or {})

    return command


def bentoml(launch: Launch) -> Command:
    bento = str(launch.environment.folder / "bin/bentoml")
    words = [bento, "serve", "bentoml_app:Model", "--host", "127.0.0.1", "--port", str(launch.port)]
    return Command(words=words, variables={"BENTOML_DO_NOT_TRACK": "True"})


def mlserver(launch: Launch) -> Command:
    ports = {"http_port": launch.port, "grpc_port": launch.grpc_port, "metrics_port": launch.grpc_port + 1}
    (launch.folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "debug": False, **ports}))
    batching = {"max_batch_size": launch.batch, "max_batch_time": 0.002} if launch.batch > 1 else {}
    model = {"name": "m", "implementation": "mlserver_app.Model", **batching}
    (launch.folder / "model-settings.json").write_text(json.dumps(model))
    words = [str(launch.environment.folder / "bin/mlserver"), "start", str(launch.folder)]
    return Command(words=words, variables={"PYTHONPATH": str(APPS)})


def mlflow(launch: Launch) -> Command:
    saved = launch.folder / "saved"
    if not saved.exists():
        save = [str(launch.environment.python), "mlflow_save.py", str(saved)]
        variables = {**os.environ, "BENCH_MODEL": str(launch.file)}
        done = subprocess.run(save, cwd=APPS, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"its format could not be written: {done.stderr.strip().splitlines()[-1]}")
    binaries = launch.environment.folder / "bin"
    words = [str(binaries / "mlflow"), "models", "serve", "-m", str(saved), "-h", "127.0.0.1", "-p", str(launch.port)]
    path = f"{binaries}:{os.environ['PATH']}"  # it looks for uvicorn there
    variables = {"PATH": path, "UVICORN_ACCESS_LOG": "0"}
    return Command(words=[*words, "--env-manager", "local", "--workers", "1"], variables=variables)


_TRITON = """name: "m"
backend: "python"
max_batch_size: %d
input [{ name: "x" data_type: TYPE_FP32 dims: [%s] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [-1] }]
instance_group [{ count: 1 kind: KIND_CPU }]
%s
"""


def triton(launch: Launch) -> Command:
    """The server out of nvidia-pytriton's wheel; its stub must find the Python that made the environment."""
    packages = next((launch.environment.folder / "lib").glob("python*/site-packages"))
    server = packages / "pytriton/tritonserver"
    backends = launch.folder / "backends/python"
    version = launch.folder / "models/m/1"
    if not version.exists():
        version.mkdir(parents=True)
        backends.mkdir(parents=True)
        for file in (server / "backends/python").iterdir():
            (backends / file.name).symlink_to(file)
        stub = server / "python_backend_stubs" / launch.environment.minor / "triton_python_backend_stub"
        if not stub.exists():
            raise Unavailable(f"its wheel has no Python backend for Python {launch.environment.minor}")
        (backends / stub.name).symlink_to(stub)
        (version / "model.py").symlink_to(APPS / "triton/model.py")
    batching = "dynamic_batching { }" if launch.batch > 1 else ""
    dimensions = ", ".join(map(str, launch.shape))
    (version.parent / "config.pbtxt").write_text(_TRITON % (max(launch.batch, 8), dimensions, batching))
    words = [
        str(server / "bin/tritonserver"), "--model-repository", str(launch.folder / "models"),
        "--backend-directory", str(backends.parent), "--http-address", "127.0.0.1", "--http-port", str(launch.port),
        "--grpc-address", "127.0.0.1", "--grpc-port", str(launch.grpc_port), "--allow-metrics", "false",
    ]  # fmt: skip
    libraries = f"{launch.environment.libdir}:{packages / 'nvidia_pytriton.libs'}"
    path = f"{launch.environment.folder / 'bin'}:{os.environ['PATH']}"  # the stub's packages are those of python3 there
    return Command(words=words, variables={"PATH": path, "LD_LIBRARY_PATH": libraries})
