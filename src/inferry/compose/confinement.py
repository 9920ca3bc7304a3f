"""How replicas and inspectors are confined: one policy for both, by runtime."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from inferry.security.sandbox import SHARED_MEMORY_MB, SandboxPolicy, confine, default_read_paths

PACKAGE = Path(__file__).resolve().parent.parent
MAY_LISTEN = frozenset({"llm"})  # llama.cpp's server insists on a socket, though nobody connects to it
ENGINES = frozenset({"vllm"})  # processes of their own below the replica, which speak to it and to each other
MAY_EXECUTE = ENGINES | frozenset({"python", "sagemaker", "torchserve", "azureml", "endpoint_handler", "triton_python"})
ENGINE_SHARED_MB = 8192  # tmpfs: only what is used is taken
DEVICE_FILES = {
    "cuda": (
        ("/dev/nvidia*", "/dev/nvidia-caps/*"),
        ("/proc/driver/nvidia", "/proc/devices", "/sys/module/nvidia*", "/sys/bus/pci"),
    ),
    "tpu": (("/dev/accel*", "/dev/vfio/*"), ("/sys/class/accel", "/sys/bus/pci")),
}
"""What code that computes on a device must reach, by device: files to read and write, and facts to read."""


def see_gpus(ids: tuple[str, ...]) -> None:
    """Hide all GPUs but these from every framework loaded from now on."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(ids)


def enter(
    runtime: str, read: tuple[str, ...], scratch: str, memory_mb: int, cpu_seconds: int = 0, device: str = "cpu"
) -> dict[str, str]:
    """Confine this process for good. Returns what each means of the host gave.

    A GPU's driver maps all memory there is, and more, into the address space, so that is not limited there.
    """
    os.chdir(scratch)
    os.environ["HOME"] = os.environ["TMPDIR"] = scratch
    if "tempfile" in sys.modules:  # a framework that the zygote imported may have asked for the folder of then
        sys.modules["tempfile"].tempdir = scratch  # type: ignore[attr-defined]
    prefixes = tuple({sys.prefix, sys.base_prefix, sys.exec_prefix})
    memory = memory_mb << 20 or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    reach, facts = (
        tuple(str(path) for pattern in patterns for path in sorted(Path("/").glob(pattern[1:])))
        for patterns in DEVICE_FILES.get(device, ((), ()))
    )
    return confine(
        SandboxPolicy(
            read=(*default_read_paths(prefixes), str(PACKAGE), *facts, *read),
            write=(scratch, *reach),
            network=False,
            listen=runtime in MAY_LISTEN,
            loopback=runtime in ENGINES,
            shared_mb=ENGINE_SHARED_MB if runtime in ENGINES else SHARED_MEMORY_MB,
            exec=runtime in MAY_EXECUTE,
            memory_bytes=0 if device == "cuda" else memory,
            cpu_seconds=cpu_seconds,
            processes=8192 if runtime in ENGINES else 512,
            files=8192 if runtime in ENGINES else 1024,
        )
    )
