"""PyTorch models: TorchScript, exported programs, modules with their weights.

Data flow: file -> module or program (torch_files) -> inputs from the program's signature, else from the sample
under the names of forward's parameters -> a call in inference mode -> tensor, tuple or dict as named arrays.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils import _pytree as pytree

from inferry.errors import InvalidInput, InvalidModel
from inferry.interfaces.runtime import LoadedModel
from inferry.runtimes.arrays import ArrayRuntime, Opened, stacked
from inferry.runtimes.tensors import Array, head
from inferry.runtimes.torch_files import open_program, open_script, open_weights
from inferry.types.sample import Sample
from inferry.types.signature import Signature, TensorSpec

_DATATYPES = {
    torch.bool: "BOOL", torch.uint8: "UINT8", torch.int8: "INT8", torch.int16: "INT16", torch.int32: "INT32",
    torch.int64: "INT64", torch.float16: "FP16", torch.bfloat16: "FP32", torch.float32: "FP32", torch.float64: "FP64",
}  # fmt: skip
"""What a door takes for a tensor's dtype; bfloat16 comes as FP32 and is rounded here."""


@dataclass(frozen=True, kw_only=True)
class Native:
    """For a converter: the module, how tensors by the inputs' names become its arguments, and the dtype of its floats.

    `stacks`: whether columns of these names are one matrix to it.
    """

    module: torch.nn.Module
    bind: Callable[[Mapping[str, torch.Tensor]], tuple[tuple[Any, ...], dict[str, Any]]]
    stacks: Callable[[Mapping[str, Array]], bool]
    floats: torch.dtype | None = None


class TorchRuntime(ArrayRuntime):
    """The runtime plugin "torch".

    It borrows: every input is copied into a tensor, since a forward may change its input in place. It does not
    compute beside: torch lets go of Python's lock, but a person's module may keep things between calls.
    """

    imports: ClassVar[tuple[str, ...]] = ("torch",)
    borrows: ClassVar[bool] = True
    computes_beside: ClassVar[bool] = False

    def load(self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None) -> LoadedModel:
        """Open `artifact/entry`. Options: `form` and what detection found for it; `threads` for one prediction (1),
        `device` (cpu, cuda)."""
        return super().load(artifact, entry, {**options, "artifact": str(artifact)}, signature)

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Open the model in the form that detection found."""
        torch.set_num_threads(options.get("threads", 1))
        device = _device(options.get("device", "cpu"))
        if options["form"] == "program":
            return _program(open_program(path, options), device)
        opener = open_script if options["form"] == "script" else open_weights
        return _module(opener(path, options).to(device), device)


def _device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InvalidModel(
            "PyTorch could not use the GPU.",
            help="Name a build for CUDA in a requirements.txt beside the model, or ask for --device cpu.",
        )
    return torch.device(wanted)


def _program(program: Any, device: torch.device) -> Opened:
    """An exported program: it knows its inputs, their names, dtypes and free sizes."""
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    specs, leaves = [], []
    for one in program.graph_signature.input_specs:
        if one.kind.name != "USER_INPUT":
            continue
        if type(one.arg).__name__ == "ConstantArgument":
            leaves.append((None, one.arg.value))
            continue
        value = values.get(one.arg.name)
        if not isinstance(value, torch.Tensor) or value.dtype not in _DATATYPES:
            raise InvalidModel(
                f"The program's input {one.arg.name!r} is not a tensor of numbers that can be sent.",
                help="Export it with tensors as its only inputs.",
            )
        shape = tuple(size if type(size) is int else -1 for size in value.shape)
        specs.append(TensorSpec(name=one.arg.name, datatype=_DATATYPES[value.dtype], shape=shape))
        leaves.append((one.arg.name, value.dtype))
    module, tree = program.module(), program.call_spec.in_spec

    def bind(tensors: Mapping[str, torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = [what if name is None else tensors[name].to(what) for name, what in leaves]
        args, kwargs = pytree.tree_unflatten(given, tree)
        return args, kwargs

    def call(inputs: dict[str, Array]) -> Any:
        args, kwargs = bind({spec.name: _tensor(inputs[spec.name], None, device) for spec in specs})
        with torch.inference_mode():
            return _answer(module(*args, **kwargs))

    native = Native(module=module, bind=bind, stacks=lambda _: False)
    return Opened(call=call, inputs=specs, details=_details(program.state_dict.values()), native=native)


def _module(module: Any, device: torch.device) -> Opened:
    """A module: what it takes is known once there is a sample."""
    caller = _Caller(module, device)
    return Opened(
        call=caller,
        floats="FP64" if caller.floats is torch.float64 else "FP32",
        adapt=caller.adapt,
        details=_details(module.parameters()),
        native=Native(module=module, bind=caller.bind, stacks=caller.stacks, floats=caller.floats),
    )


def _details(parameters: Any) -> dict[str, Any]:
    return {"torch": str(torch.__version__), "parameters": sum(one.numel() for one in parameters)}


class _Caller:
    """Calls a module's forward with named arrays. `floats`: the dtype of its parameters."""

    def __init__(self, module: Any, device: torch.device) -> None:
        self._module = module
        self._device = device
        self.floats = next((one.dtype for one in module.parameters() if one.is_floating_point()), torch.float32)
        self._names, self._open = _parameters(module)

    def __call__(self, inputs: dict[str, Array]) -> Any:
        """The answer of forward, as arrays."""
        if self.stacks(inputs):
            inputs = {"": stacked(inputs, np.float64)}
        args, kwargs = self.bind({name: self._tensor(array) for name, array in inputs.items()})
        with torch.inference_mode():
            return _answer(self._module(*args, **kwargs))

    def bind(self, tensors: Mapping[str, torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of forward. InvalidInput when these are not."""
        if self._by_name(tensors):
            return (), dict(tensors)
        if len(tensors) == 1:
            return tuple(tensors.values()), {}
        raise InvalidInput(
            f"The model's forward takes {', '.join(self._names)}, not {', '.join(list(tensors)[:8])}.",
            help="Name the arrays as forward's parameters.",
        )

    def stacks(self, inputs: Mapping[str, Array]) -> bool:
        """Whether these are columns, for a forward of one matrix."""
        return not self._by_name(inputs) and all(array.ndim == 1 for array in inputs.values())

    def adapt(self, sample: Sample) -> Sample:
        """The sample under the names and with the kinds of numbers that forward takes.

        A lone array gets the name of the first parameter. Columns that are stacked into one matrix are all
        numbers with a fraction, and so are whole numbers that the model refuses as they are.
        """
        if sample.kind == "value":
            return sample
        first = self._names[0] if self._names else "input"
        tensors: dict[str, Array] = {name or first: array for name, array in sample.tensors.items()}
        matrix = self.stacks(tensors)
        if matrix or not self._answers(tensors):
            fractions = {
                name: one.astype(np.float64) if one.dtype.kind in "iu" else one for name, one in tensors.items()
            }
            if matrix or self._answers(fractions):
                tensors = fractions
        return Sample(kind=sample.kind, tensors=tensors)

    def _answers(self, inputs: dict[str, Array]) -> bool:
        try:
            self(head(inputs))
        except Exception:  # noqa: BLE001  whatever its forward raises: the example will tell why
            return False
        return True

    def _by_name(self, inputs: Mapping[str, Any]) -> bool:
        return self._open or inputs.keys() <= set(self._names)

    def _tensor(self, array: Array) -> torch.Tensor:
        return _tensor(array, self.floats if array.dtype.kind == "f" else None, self._device)


def _parameters(module: Any) -> tuple[list[str], bool]:
    """The names that forward takes, and whether it takes any other."""
    if isinstance(module, torch.jit.ScriptModule):
        return [one.name for one in module.forward.schema.arguments[1:]], False
    found = inspect.signature(module.forward).parameters.values()
    names = [one.name for one in found if one.kind not in {one.VAR_POSITIONAL, one.VAR_KEYWORD}]
    return names, any(one.kind is one.VAR_KEYWORD for one in found)


def _tensor(array: Array, dtype: torch.dtype | None, device: torch.device) -> torch.Tensor:
    """A copy of an array, of its own dtype or another."""
    return torch.tensor(array, dtype=dtype, device=device)


def _answer(value: Any) -> Any:
    return arranged(value, lambda tensor: tensor.detach().cpu().numpy())


def arranged(value: Any, leaf: Callable[[torch.Tensor], Any]) -> Any:
    """What forward returned, each tensor as `leaf` makes it, bfloat16 rounded up: one, a tuple or a dict of them.

    Parts that are None are left out.
    """
    if isinstance(value, torch.Tensor):
        return leaf(value.float() if value.dtype is torch.bfloat16 else value)
    if isinstance(value, Mapping):
        return {str(name): arranged(one, leaf) for name, one in value.items() if one is not None}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return arranged(value._asdict(), leaf)
    if isinstance(value, list | tuple):
        flat = [arranged(one, leaf) for one in pytree.tree_leaves(value) if one is not None]
        return flat[0] if len(flat) == 1 else tuple(flat)
    return value
