"""OpenVINO models, on the CPU, in the precision that they were saved in.

Data flow: .xml and .bin -> compiled model (FP32 is not lowered to BF16 behind the person's back) -> `call`: named
arrays -> one infer request, used again -> its outputs, copied out. A request answers one call at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from inferry.errors import InvalidModel
from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.types.signature import TensorSpec

_TYPES = {
    "boolean": "BOOL", "u8": "UINT8", "u16": "UINT16", "u32": "UINT32", "u64": "UINT64", "i8": "INT8", "i16": "INT16",
    "i32": "INT32", "i64": "INT64", "f16": "FP16", "f32": "FP32", "f64": "FP64", "string": "BYTES",
}  # fmt: skip


class OpenvinoRuntime(ArrayRuntime):
    """The runtime plugin "openvino"."""

    imports: ClassVar[tuple[str, ...]] = ("inferry.runtimes.openvino_import",)

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Read the graph and compile it for `threads` processor threads."""
        from inferry.runtimes.openvino_import import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": options.get("threads", 1),
            "NUM_STREAMS": 1,
        }
        weights = path.with_suffix(".bin")
        core = openvino.Core()
        model = core.read_model(str(path), str(weights)) if weights.exists() else core.read_model(str(path))
        compiled = core.compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()
        names = [_name(port) for port in compiled.outputs]

        def call(inputs: dict[str, Any]) -> dict[str, Any]:
            answer = request.infer(inputs)
            return {name: np.asarray(answer[at]) for at, name in enumerate(names)}

        return Opened(call=call, inputs=_specs(compiled.inputs))


def _name(port: Any) -> str:
    names = port.get_names()
    return str(port.get_any_name() if names else port.get_node().get_friendly_name())


def _specs(ports: Any) -> tuple[TensorSpec, ...]:
    """Inputs as the graph says them; () when a rank is free, which then the sample tells."""
    specs = []
    for port in ports:
        name, kind = _name(port), port.get_element_type().get_type_name()
        if kind not in _TYPES:
            raise InvalidModel(f"The model's input {name[:60]!a} is a {kind}, which cannot be sent.")
        if port.get_partial_shape().rank.is_dynamic:
            return ()
        shape = tuple(-1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape())
        specs.append(TensorSpec(name=name, datatype=_TYPES[kind], shape=shape))
    return tuple(specs)
