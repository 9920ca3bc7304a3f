"""LiteRT models (TensorFlow Lite): a signature of the file where it has one, else its tensors by name.

Data flow: .tflite -> interpreter -> named inputs, -1 where the file says that a size is free -> `call`: the
interpreter's inputs resized when sizes change, filled, run, and its outputs copied out. An interpreter answers
one call at a time, so the calls of a replica run one after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from inferry.errors import InvalidModel
from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.runtimes.tensors import Array, datatype_of
from inferry.types.signature import TensorSpec
from inferry.types.text import first_line

DEFAULT = "serving_default"


class LitertRuntime(ArrayRuntime):
    """The runtime plugin "litert"."""

    imports: ClassVar[tuple[str, ...]] = ("ai_edge_litert.interpreter",)

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Make the interpreter, which checks the file's structure."""
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(model_path=str(path), num_threads=options.get("threads", 1))
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _refused(error) from error
        signatures = interpreter.get_signature_list()
        name = DEFAULT if DEFAULT in signatures else next(iter(signatures)) if len(signatures) == 1 else ""
        if name:
            runner = interpreter.get_signature_runner(name)
            details = runner.get_input_details()
            return Opened(
                call=lambda inputs: runner(**_bytes(inputs)), inputs=_specs(details), notes=_quantized(details)
            )
        tensors = _Tensors(interpreter)
        return Opened(call=tensors, inputs=_specs(tensors.inputs), notes=_quantized(tensors.inputs))


class _Tensors:
    """A file without a signature: its inputs and outputs by the names of their tensors."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self.inputs: dict[str, Any] = {one["name"]: one for one in interpreter.get_input_details()}
        self._outputs = {one["name"]: one["index"] for one in interpreter.get_output_details()}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def __call__(self, inputs: dict[str, Array]) -> dict[str, Array]:
        shapes = {name: array.shape for name, array in inputs.items()}
        if shapes != self._shapes:
            for name, shape in shapes.items():
                self._interpreter.resize_tensor_input(self.inputs[name]["index"], shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for name, array in _bytes(inputs).items():
            self._interpreter.set_tensor(self.inputs[name]["index"], array)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}


def _bytes(inputs: dict[str, Array]) -> dict[str, Array]:
    """Text as the UTF-8 that an interpreter takes; numbers as they are."""
    return {
        name: np.array([text.encode() for text in array.ravel()], dtype=bytes).reshape(array.shape)
        if array.dtype.kind == "O"
        else array
        for name, array in inputs.items()
    }


def _specs(details: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    specs = []
    for name, one in details.items():
        free = one["shape_signature"] if len(one["shape_signature"]) else one["shape"]
        text = np.dtype(one["dtype"]).kind in "SO"
        specs.append(
            TensorSpec(
                name=name,
                datatype="BYTES" if text else datatype_of(np.empty(0, one["dtype"])),
                shape=tuple(int(size) for size in free),
            )
        )
    return tuple(specs)


def _quantized(details: Mapping[str, Any]) -> tuple[str, ...]:
    """How to make the whole numbers that a quantized model takes from real ones."""
    return tuple(
        f"The input {name[:60]!a} is quantized: send round(value / {scale:.6g}) {'-' if zero < 0 else '+'} {abs(zero)}."
        for name, one in details.items()
        for scale, zero in [one["quantization"]]
        if scale
    )


def _refused(error: Exception) -> InvalidModel:
    said = str(error)
    if "Flex" in said or "Select TensorFlow op" in said:
        return InvalidModel(
            "The LiteRT model has operations of full TensorFlow (Flex), which LiteRT does not have.",
            help="Convert it with TFLITE_BUILTINS only, or deploy the SavedModel that it was made from.",
        )
    if "custom op" in said.lower() or "unresolved" in said.lower():
        return InvalidModel(
            f"The LiteRT model has an operation that LiteRT does not have: {first_line(said, 120)}",
            help="Convert it with TFLITE_BUILTINS only.",
        )
    return InvalidModel(
        f"The LiteRT model cannot be loaded: {first_line(said)}", help="Is the file whole? Copy or convert it again."
    )
