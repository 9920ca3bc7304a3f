"""A stand-in for NVIDIA's management library (the module pynvml), at the driver's boundary.

`write(folder)` leaves a pynvml.py there that knows the GPUs it is told; put the folder on PYTHONPATH.
"""

from __future__ import annotations

from pathlib import Path

MODULE = '''
"""What nvidia-ml-py offers, over made-up GPUs."""
GPUS = {gpus!r}
FAIL = {fail!r}


class NVMLError(Exception):
    pass


class Memory:
    def __init__(self, total, free):
        self.total, self.free = total, free


def nvmlInit():
    if FAIL == "init":
        raise NVMLError("Driver Not Loaded")


def nvmlShutdown():
    pass


def nvmlDeviceGetCount():
    if FAIL == "count":
        raise NVMLError("GPU is lost")
    return len(GPUS)


def nvmlDeviceGetHandleByIndex(index):
    return GPUS[index]


def nvmlDeviceGetUUID(gpu):
    return gpu[0]


def nvmlDeviceGetName(gpu):
    return gpu[1].encode()  # older versions answer bytes


def nvmlDeviceGetMemoryInfo(gpu):
    return Memory(gpu[2] << 20, gpu[3] << 20)
'''

TWO = [("GPU-aaaa", "NVIDIA H100", 81559, 80000), ("GPU-bbbb", "NVIDIA H100", 81559, 40000)]


def write(folder: Path, gpus: object = TWO, fail: str = "", name: str = "pynvml") -> Path:
    """The module, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(MODULE.format(gpus=gpus, fail=fail))
    return folder
