"""Language models on GPUs through vLLM: its own OpenAI server, a child of the replica.

    replica (this process) --- unix socket in its own folder ---> vllm serve FOLDER

Data flow: `load` starts the child and waits until it is healthy; an OpenAI body -> the child, always for chunks ->
`Call.take`. Its words go to the endpoint's log. When the child ends, so does the replica, and the platform starts
another; when the replica ends, so does the child. Whoever stops waiting has its connection cut, which vLLM
takes as the end of the request.

While a model is inspected nothing is started, since that takes minutes: the first replica proves that it answers.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from inferry.errors import InvalidModel, ModelFailed
from inferry.runtimes.speaking import TASK, Call, Speaker, example_of, told
from inferry.types.sample import Sample
from inferry.types.signature import Inspection, Signature, as_example

SOCKET = "vllm.sock"
TEMPLATE = "chat_template.jinja"
SERVED = "model"  # the name by which the child is asked
SLOTS = 64
START_S = 1740.0  # weights are read, and kernels compiled
POLL_S, LOOK_S = 0.1, 0.2
DIE_WITH_PARENT = 1  # of prctl
QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
ENDED = 70  # the exit code of a replica whose engine ended


class VllmRuntime:
    """The runtime plugin "vllm"."""

    imports: ClassVar[tuple[str, ...]] = ()
    borrows: ClassVar[bool] = False
    computes_beside: ClassVar[bool] = False

    def load(self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None) -> VllmModel:
        """Start the engine, unless the model is only inspected (then it has no signature yet)."""
        folder = artifact / entry
        slots = int(options.get("slots") or SLOTS)
        model = VllmModel(slots, chats=bool(options.get("chat_template")) or has_template(folder))
        if signature is not None:
            if options.get("chat_template"):
                Path(TEMPLATE).write_text(str(options["chat_template"]), encoding="utf-8")
            model.engine = Engine(command(folder, slots, options))
        return model


def has_template(folder: Path) -> bool:
    """Whether the model's tokenizer comes with a chat template."""
    said = folder / "tokenizer_config.json"
    with contextlib.suppress(ValueError, AttributeError):
        if said.is_file() and json.loads(said.read_bytes()).get("chat_template"):
            return True
    return (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file()


def command(folder: Path, slots: int, options: dict[str, Any]) -> list[str]:
    """The command line of the child. `options`: those of engine_options, and the `gpus` that the replica holds."""
    share = options.get("gpu_memory_share") or (options.get("gpus", 0.0) if 0 < options.get("gpus", 0.0) < 1 else 0)
    seen = len(list(filter(None, os.environ.get("CUDA_VISIBLE_DEVICES", "").split(","))))
    words: list[Any] = [sys.executable, str(Path(sys.prefix) / "bin" / "vllm"), "serve", str(folder), "--uds", SOCKET]
    words += ["--served-model-name", SERVED, "--max-num-seqs", slots, "--tensor-parallel-size", max(1, seen)]
    for flag, value in (
        ("--max-model-len", options.get("context")),
        ("--gpu-memory-utilization", share),
        ("--dtype", options.get("dtype")),
        ("--chat-template", TEMPLATE if options.get("chat_template") else None),
    ):
        words += [flag, value] if value else []
    return [str(word) for word in words]


class Engine:
    """The child process, from its start to its end."""

    def __init__(self, words: list[str]) -> None:
        Path(SOCKET).unlink(missing_ok=True)
        print("starting", " ".join(words[1:]), file=sys.stderr)
        self._child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=2, env=os.environ | QUIET,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread of ours runs yet
        )  # fmt: skip
        self._await()
        threading.Thread(target=self._end_with, name="engine", daemon=True).start()

    def _await(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                raise InvalidModel(
                    f"vLLM ended while it started ({_how(self._child.returncode)}).",
                    help="Its own words: inferry logs NAME. To serve without it: --option engine=transformers.",
                )
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = Connection(5.0)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            time.sleep(POLL_S)
        self._child.kill()
        raise InvalidModel(f"vLLM was not ready within {START_S:g} s.", help="See inferry logs NAME.")

    def _end_with(self) -> None:
        """Wait for the child's end, and end with it: a replica without an engine answers nobody."""
        code = self._child.wait()
        print(f"vLLM ended ({_how(code)}), and this replica with it", file=sys.stderr, flush=True)
        os._exit(ENDED)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


class Connection(http.client.HTTPConnection):
    """HTTP over the child's socket."""

    def __init__(self, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


class VllmModel(Speaker):
    """How the engine is asked."""

    def __init__(self, slots: int, *, chats: bool) -> None:
        super().__init__(chats=chats)
        self.slots = slots
        self.engine: Engine | None = None

    def ask(self, body: dict[str, Any], call: Call) -> None:
        """Pass a body on, and its chunks back."""
        asked = {**body, "model": SERVED}
        if "repeat_penalty" in asked:
            asked["repetition_penalty"] = asked.pop("repeat_penalty")
        path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        connection = Connection(None)
        ended = False
        try:
            connection.request("POST", path, msgspec.json.encode(asked), {"content-type": "application/json"})
            with _left_when_unwanted(connection, call):
                answer = connection.getresponse()
                if answer.status != 200:
                    raise told(_problem(answer.status, answer.read(1 << 20)))
                for data in _events(answer):
                    ended = data == b"[DONE]"
                    if call.take(data) or ended:
                        break
        except (OSError, http.client.HTTPException) as error:
            if call.waits():
                raise ModelFailed("vLLM broke the connection.", help="See inferry logs NAME.") from error
        finally:
            connection.close()
        call.left = call.left or not (ended or call.error or call.waits())
        if not (ended or call.error or call.left):
            raise ModelFailed("vLLM ended its answer in the middle.", help="See inferry logs NAME.")

    def describe(self, sample: Sample | None) -> Inspection:
        """Any JSON in and out. The example is answered by the first replica, not here."""
        return Inspection(
            signature=Signature(kind="open"),
            example=as_example({"inputs": example_of(sample)}),
            task=TASK,
            details={"slots": self.slots, "chats": self._chats},
        )


def _events(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    for line in answer:
        if line.startswith(b"data:"):
            yield line[5:].strip()


def _problem(status: int, text: bytes) -> dict[str, Any]:
    """What vLLM says is wrong, in one form for all its versions. Its own 4xx are the request's fault."""
    try:
        said = msgspec.json.decode(text)
    except msgspec.DecodeError:
        said = {}
    inner = said.get("error", said) if isinstance(said, dict) else {}
    message = inner.get("message") if isinstance(inner, dict) else inner
    return {
        "message": message or f"vLLM answered with status {status}.",
        "code": 400 if 400 <= status < 500 else status,
    }


@contextlib.contextmanager
def _left_when_unwanted(connection: Connection, call: Call) -> Iterator[None]:
    """Cut the connection as soon as nobody waits, even while nothing comes."""
    over = threading.Event()
    sock = connection.sock

    def watch() -> None:
        while not over.wait(LOOK_S):
            if not call.waits():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                return

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
