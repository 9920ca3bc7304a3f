"""Devices: where a model computes, which GPUs a replica sees, which execution providers are tried. Pure.

What a revision asks for (`auto`, `cpu`, `cuda`, `tpu`, a share of a GPU, memory on it), what the machine
has and what its replicas hold already -> a kind of device and the ids of GPUs; or a refusal that says
what was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import msgspec

from inferry.errors import Conflict, InvalidInput
from inferry.types.bundle import Detected
from inferry.types.devices import Devices, Gpu

KINDS = ("auto", "cpu", "cuda", "tpu")
OWN_CODE = frozenset({"python", "mlflow", "sagemaker", "azureml", "endpoint_handler", "torchserve", "triton_python"})
"""Runtimes of the person's own code: it may use whatever is there."""

ON_CUDA = frozenset({"onnx", "torch", "jax", "tensorflow", "keras", "xgboost", "llm", "vllm"}) | OWN_CODE
BETTER_ON_CUDA = frozenset({"torch", "jax", "tensorflow", "keras", "llm", "vllm"}) | OWN_CODE
"""What `auto` puts on a GPU. ONNX models are not among them: their packages for GPUs are asked for with `cuda`."""

ONLY_ON_CUDA = frozenset({"vllm"})
ON_TPU = frozenset({"jax"}) | OWN_CODE
WHOLE = 1.0 - 1e-9
PACKAGES: dict[tuple[str, str], tuple[str, ...]] = {
    ("onnx", "cuda"): ("onnxruntime-gpu[cuda,cudnn]>=1.20",),
    ("jax", "cuda"): ("jax[cuda12]",),
    ("jax", "tpu"): ("jax[tpu]",),
}
"""What a runtime's own environment needs on a device beside what it needs anyway."""


ENGINES = {("transformers", "text-generation"): ("vllm", "vllm>=0.11")}
"""Runtime and task -> the runtime that serves it on GPUs, and what that one's environment needs."""


def check(device: str, gpus: float) -> None:
    """See that what is asked for makes sense anywhere. Raises InvalidInput."""
    if device not in KINDS:
        raise InvalidInput(f"{device[:20]!a} is not a device.", help=f"Use one of {', '.join(KINDS)}.")
    if not 0 <= gpus <= 64 or (gpus > 1 and gpus != int(gpus)):
        raise InvalidInput(
            f"{gpus:g} is not a share of GPUs.", help="Use a part of one, such as 0.25, or a whole number of them."
        )
    if gpus and device in {"cpu", "tpu"}:
        raise InvalidInput(f"A share of a GPU does not go with the device {device}.", help="Ask for --device cuda.")


def choose(device: str, gpus: float, runtime: str, found: Devices) -> str:
    """`cpu`, `cuda` or `tpu` for a model of this runtime. Conflict when what is asked for is not there."""
    wanted = "cuda" if device == "auto" and (gpus or runtime in ONLY_ON_CUDA) else device
    if wanted != "cuda" and runtime in ONLY_ON_CUDA:
        raise Conflict(
            f"Models of the runtime {runtime} compute on GPUs only.",
            help="Deploy the folder itself again with --device cpu, or with --option engine=transformers.",
        )
    if wanted == "auto":
        return "cuda" if found.gpus and runtime in BETTER_ON_CUDA else "cpu"
    able = {"cpu": True, "cuda": runtime in ON_CUDA, "tpu": runtime in ON_TPU}[wanted]
    if not able:
        raise Conflict(f"Models of the runtime {runtime} compute on the CPU.", help="Leave --device out, or use cpu.")
    there = {"cpu": True, "cuda": bool(found.gpus), "tpu": found.tpus > 0}[wanted]
    if not there:
        raise Conflict(f"There is no {wanted} device here. Found: {found.words()}.", help="Use --device cpu or auto.")
    return wanted


def by_engine(detected: Detected) -> Detected | None:
    """The same model as served on GPUs by an engine in its framework's place; None when there is none."""
    engine = ENGINES.get((detected.runtime, str(detected.options.get("task", ""))))
    if engine is None:
        return None
    name, *requirements = engine
    return msgspec.structs.replace(
        detected, runtime=name, requirements=tuple(requirements), why=f"{detected.why} {name} serves it."
    )


def place(gpus: float, memory_mb: int, found: Sequence[Gpu], taken: Mapping[str, float]) -> tuple[str, ...]:
    """The ids of the GPUs that a new replica sees.

    `gpus`: the share it holds for itself, a part of one or whole ones (0: nothing is held, it shares).
    `memory_mb`: what must be free (0: any). `taken`: the share of each GPU that replicas hold. A part goes
    to the fullest GPU that has room for it, so that whole ones stay free; without a share, to the emptiest.
    """
    free = {gpu.id: 1.0 - taken.get(gpu.id, 0.0) for gpu in found}
    roomy = [gpu for gpu in found if gpu.free_mb >= memory_mb]
    if gpus > 1 or gpus >= WHOLE:
        fits = [gpu.id for gpu in roomy if free[gpu.id] >= WHOLE]
        count = ceil(gpus - 1e-9)
        if len(fits) >= count:
            return tuple(fits[:count])
    else:
        fits = [gpu.id for gpu in roomy if free[gpu.id] + 1e-9 >= gpus]
        if fits:
            order = sorted(fits, key=free.__getitem__)
            return (order[0] if gpus else order[-1],)
    shown = ", ".join(f"cuda:{gpu.index} {free[gpu.id]:.2f} free, {gpu.free_mb} MB" for gpu in found)
    raise Conflict(
        f"No GPU has room for a share of {gpus:g}{f' and {memory_mb} MB' if memory_mb else ''} ({shown}).",
        help="Ask for less, or stop something else.",
    )


def providers(device: str, available: Sequence[str], *, tensorrt: bool = False) -> list[str]:
    """Execution providers of onnxruntime in the order in which they are tried; the CPU's always comes last.

    `tensorrt`: its libraries are installed (the provider is listed even where they are not).
    """
    wanted = {
        "cuda": [*(["TensorrtExecutionProvider"] if tensorrt else []), "CUDAExecutionProvider"],
        "cpu": ["OpenVINOExecutionProvider"],
    }.get(device, [])
    return [*(name for name in wanted if name in available), "CPUExecutionProvider"]
