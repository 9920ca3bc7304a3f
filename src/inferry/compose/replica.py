"""Replica process: binds its socket, confines itself, loads the model, then listens and serves.

Whoever can connect may count on a loaded model. What goes wrong before that is written to the
task's report, opened before the walls go up; a replica that serves other machines writes its address there.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import ssl
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from inferry import plugins
from inferry.compose.confinement import ENGINES, enter, see_gpus
from inferry.errors import InferryError, InvalidModel
from inferry.interfaces.codec import Codec
from inferry.media.stage import Stage, Staged, bare, needed
from inferry.policy.batching import Curve, read_curve, saving
from inferry.policy.threads import choose_threads, choose_workers, threads_to_try
from inferry.protocols import forms
from inferry.protocols.files import CsvRowsCodec, FileCodec, FormCodec
from inferry.protocols.grpc_oip import GrpcOipCodec
from inferry.protocols.mlflow import MlflowCodec
from inferry.protocols.mlflow_csv import CsvCodec
from inferry.protocols.oip import OipCodec
from inferry.protocols.openai import EmbeddingsCodec, WritingCodec
from inferry.protocols.plain import PlainCodec
from inferry.protocols.posted import OtherCodec, PostedCodec, UnreadCodec
from inferry.protocols.tfs import PredictCodec
from inferry.protocols.tfs_examples import CLASSIFY, REGRESS, ExamplesCodec
from inferry.protocols.tfs_grpc import TfsGrpcCodec
from inferry.replica.engine import Engine
from inferry.replica.server import Server
from inferry.security.brood import alone
from inferry.security.groups import join
from inferry.security.sandbox import THREAD_VARIABLES
from inferry.security.tls import listening_context
from inferry.types import frames
from inferry.types.address import TCP, TcpAddress
from inferry.types.bundle import Manifest
from inferry.types.registry import RevisionConfig
from inferry.types.replicas import ReplicaStatus
from inferry.types.signature import Signature
from inferry.types.zygote import ReplicaTask


def serve_replica(task: ReplicaTask, lifeline: int) -> int:
    """Serve until stopped. Returns the exit code.

    A replica that starts an engine does so in a process namespace of its own, which nothing of the engine outlives.
    """
    join(task.groups)
    if task.spec.runtime in ENGINES:
        return alone(partial(_serve, task, lifeline, os.getpid()))
    return _serve(task, lifeline, os.getpid())


def _serve(task: ReplicaTask, lifeline: int, pid: int) -> int:
    """The replica itself. `pid`: its process as all others see it."""
    start = time.monotonic()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    report = os.open(task.report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    listener, tls = bind(task)
    try:
        bundle = Path(task.bundle)
        manifest = msgspec.json.decode((bundle / "manifest.json").read_bytes(), type=Manifest)
        see_gpus(task.spec.gpus)
        config, artifact = task.spec.config, bundle / manifest.folder
        memory_mb = 0 if task.limited else config.memory_mb
        sandbox = enter(manifest.runtime, (str(artifact),), task.scratch, memory_mb, device=task.spec.device)
        runtime = plugins.load("inferry.runtimes", manifest.runtime)()
        curve = read_curve(manifest.inspection.batch_us)
        measured = manifest.inspection.threads_gain
        workers = use_workers(config, curve, measured, task.spec.device) if runtime.computes_beside else 0
        threads = use_threads(config, measured)
        gain = 0.0 if config.memory_mb else measured  # a second copy takes memory
        tried = threads_to_try(config.threads, cores(config), config.most, gain)
        inspected = {"packing_gain": manifest.inspection.packing_gain, "try_threads": tried}
        device = {"device": task.spec.device, "gpus": config.gpus, "gpu_memory_mb": config.gpu_memory_mb}
        options = manifest.options | config.options | {"threads": threads, "calls": workers} | inspected | device
        model = runtime.load(artifact, manifest.entry, options, bare(manifest.signature))
        codecs = codecs_of(runtime, model, manifest)
    except InferryError as error:
        tell(report, error)
        return 1
    except BaseException as error:  # noqa: BLE001 - model code may raise anything, SystemExit too
        traceback.print_exc()
        tell(report, InvalidModel(f"Loading the model raised {type(error).__name__}.", help="See inferry logs NAME."))
        return 1
    load_ms = (time.monotonic() - start) * 1000
    status = ReplicaStatus(pid=pid, spec=task.spec, load_ms=load_ms, sandbox=sandbox)
    facts: dict[str, Any] = msgspec.to_builtins(status)
    listener.listen(64)
    if tls is not None:
        os.write(report, msgspec.json.encode({"address": str(TcpAddress(*listener.getsockname()[:2]))}))
    os.close(report)
    gc.collect()
    gc.freeze()
    engine = Engine(model, manifest.signature, codecs, curve, workers=workers)
    Server(listener, lifeline, engine, lambda: facts, tls).run()
    with contextlib.suppress(OSError):  # its folder may already be gone, or out of reach of the sandbox
        os.unlink(task.socket)  # noqa: PTH108 - no Path object for one call
    return 0


def codecs_of(runtime: Any, model: Any, manifest: Manifest) -> dict[int, Codec]:
    """What reads the bodies of each door, and writes its answers."""
    signature, task = manifest.signature, manifest.inspection.task
    codecs: dict[int, Codec] = {
        frames.DOOR_OIP: OipCodec(signature, borrow=runtime.borrows),
        frames.DOOR_PLAIN: PlainCodec(signature),
        frames.DOOR_GRPC: GrpcOipCodec(signature, borrow=runtime.borrows),
        frames.DOOR_PREDICT: PredictCodec(signature),
        frames.DOOR_CLASSIFY: ExamplesCodec(signature, CLASSIFY),
        frames.DOOR_REGRESS: ExamplesCodec(signature, REGRESS),
        frames.DOOR_MLFLOW: MlflowCodec(signature),
        frames.DOOR_MLFLOW_CSV: CsvCodec(signature),
        frames.DOOR_TFS: TfsGrpcCodec(signature),
        frames.DOOR_FILE: FileCodec(signature),
        frames.DOOR_FORM: FormCodec(signature),
        frames.DOOR_CSV: CsvRowsCodec(signature),
        frames.DOOR_CHAT: WritingCodec(frames.DOOR_CHAT, signature, task),
        frames.DOOR_COMPLETIONS: WritingCodec(frames.DOOR_COMPLETIONS, signature, task),
        frames.DOOR_EMBEDDINGS: EmbeddingsCodec(signature, getattr(model, "tokens", None)),
    }
    codecs |= posted_doors(signature, takes_posts=getattr(model, "takes_posts", False))
    if not needed(signature):
        return codecs
    stage = Stage(signature)
    return {door: Staged(codec, stage) for door, codec in codecs.items()}


def bind(task: ReplicaTask) -> tuple[socket.socket, ssl.SSLContext | None]:
    """Where the replica will listen, and the TLS context that goes with a TCP socket."""
    if task.identity is None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(task.socket)
        return listener, None
    host = task.socket.removeprefix(TCP)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.bind((host, 0))
    return listener, listening_context(task.identity)


def posted_doors(signature: Signature, *, takes_posts: bool) -> dict[int, Codec]:
    """The doors of packages: bodies as they came where the package's own code reads them."""
    named = {
        frames.DOOR_PREDICTIONS: forms.torchserve_error,
        frames.DOOR_SCORE: forms.message_error,
        frames.DOOR_HANDLER: forms.oip_error,
    }
    if takes_posts:
        named |= dict.fromkeys((frames.DOOR_INVOKE, frames.DOOR_MLFLOW, frames.DOOR_MLFLOW_CSV), forms.mlflow_error)
        return {door: PostedCodec(form) for door, form in named.items()}
    others: dict[int, Codec] = {door: OtherCodec(signature, form) for door, form in named.items()}
    return {**others, frames.DOOR_INVOKE: UnreadCodec(forms.mlflow_error)}


def use_threads(config: RevisionConfig, gain: float) -> int:
    """How many threads a prediction may use, said to all numeric libraries that are loaded from now on."""
    threads = choose_threads(config.threads, cores(config), config.most, gain)
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    return threads


def use_workers(config: RevisionConfig, curve: Curve, gain: float, device: str) -> int:
    """How many calls of the model run at a time; one where it is not known how long they take."""
    if not curve:
        return 1
    on_cpu = device == "cpu"
    return choose_workers(config.threads, cores(config), config.most, saving(curve), gain, on_cpu=on_cpu)


def cores(config: RevisionConfig) -> int:
    """The cores that this process may use."""
    there = len(os.sched_getaffinity(0))
    return max(1, min(there, int(config.cpus))) if config.cpus else there


def tell(report: int, error: InferryError) -> None:
    """Leave the reason of a failed start where control looks for it."""
    os.write(report, msgspec.json.encode({"code": error.code, "message": error.message, "help": error.help}))
    os.close(report)
