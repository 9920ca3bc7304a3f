"""Devices of this machine: GPUs as NVIDIA's driver tells them, TPU chips by their device files.

Data flow: NVML (package nvidia-ml-py), when its driver is there -> Gpu for each; /dev/accel* -> a number.
Whatever is missing or broken is a note for people, never an error.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from inferry.types.devices import Devices, Gpu

MB = 1 << 20


def find_devices(dev: Path = Path("/dev"), library: str = "pynvml") -> Devices:
    """What is there now. `library`: the module that speaks to the driver."""
    gpus, note = _gpus(library)
    tpus = len(list(dev.glob("accel[0-9]*")))
    return Devices(cores=len(os.sched_getaffinity(0)), gpus=gpus, tpus=tpus, note=note)


def _gpus(library: str) -> tuple[tuple[Gpu, ...], str]:
    try:
        nvml = importlib.import_module(library)
    except ImportError:
        return (), "GPUs are not looked for: pip install nvidia-ml-py"
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return (), f"no NVIDIA driver ({error})"
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return tuple(_gpu(nvml, index, handle) for index, handle in enumerate(handles)), "the driver knows no GPU"
    except nvml.NVMLError as error:
        return (), f"NVIDIA's driver refuses to tell its GPUs ({error})"
    finally:
        nvml.nvmlShutdown()


def _gpu(nvml: Any, index: int, handle: Any) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        index=index,
        id=_text(nvml.nvmlDeviceGetUUID(handle)),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_mb=memory.total // MB,
        free_mb=memory.free // MB,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
