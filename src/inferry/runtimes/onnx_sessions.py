"""Sessions of onnxruntime: how one is opened, and which of two answers faster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime as ort

from inferry.errors import InvalidModel
from inferry.policy.devices import providers
from inferry.runtimes.onnx_errors import refused_load

TRIES = 8
GAIN_S = 0.5  # how long to compare two sessions
PROVIDER_OPTIONS = {"OpenVINOExecutionProvider": {"device_type": "CPU", "precision": "FP32"}}


def open_session(path: Path, threads: int, device: str = "cpu", gpu_memory_mb: int = 0, *, packed: bool = True) -> Any:
    """A session that never spins. `packed`: its weights are laid out anew for speed, which takes time and a private
    copy; else they are used as they lie in the file, mapped when they are external. Raises InvalidModel."""
    tensorrt = find_spec("tensorrt") is not None
    names = providers(device, ort.get_available_providers(), tensorrt=tensorrt)
    limit = {"gpu_mem_limit": gpu_memory_mb << 20} if gpu_memory_mb else {}
    asked: list[Any] = [(name, PROVIDER_OPTIONS.get(name, {}) | (limit if "CUDA" in name else {})) for name in names]
    try:
        session = ort.InferenceSession(str(path), _session_options(threads, packed=packed), providers=asked)
    except Exception as error:
        raise refused_load(error) from error
    if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise InvalidModel(
            "onnxruntime could not use the GPU.", help="See its log: inferry logs NAME. Or ask for --device cpu."
        )
    return session


def _session_options(threads: int, *, packed: bool) -> Any:
    made = ort.SessionOptions()
    made.intra_op_num_threads = threads
    made.inter_op_num_threads = 1
    made.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    made.log_severity_level = 4
    made.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made.add_session_config_entry("session.inter_op.allow_spinning", "0")
    made.add_session_config_entry("session.disable_prepacking", "0" if packed else "1")
    return made


def gain(call: Callable[[], object], use: Callable[[Any], None], base: Any, other: Any) -> float:
    """How many times faster `call` is when it may `use` the session `other` than with `base`: the best of each, by
    turns, so that what else the machine does meets both."""
    best = {base: math.inf, other: math.inf}
    end = time.perf_counter() + GAIN_S
    while time.perf_counter() < end:
        for session in (base, other):
            use(session)
            best[session] = min(best[session], best_of(call))
    return round(best[base] / best[other], 2)


def best_of(call: Callable[[], object]) -> float:
    """The shortest of a few runs, in seconds."""
    times = []
    for _ in range(TRIES):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)
