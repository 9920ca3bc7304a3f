"""Models of Triton's Python backend: class TritonPythonModel with initialize and execute.

Data flow: model.py imported beside our `triton_python_backend_utils` -> initialize(config) -> named arrays ->
requests of at most max_batch_size rows each -> one execute for all of them -> responses -> named arrays.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from inferry.errors import InvalidModel, ModelFailed
from inferry.runtimes import triton_utils
from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.runtimes.tensors import Array, rows_of, take
from inferry.runtimes.usercode import import_file
from inferry.types.signature import TensorSpec
from inferry.types.text import first_line


class TritonPythonRuntime(ArrayRuntime):
    """The runtime plugin "triton_python". Options: what detection read in config.pbtxt."""

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Import the file and make its model ready."""
        sys.modules["triton_python_backend_utils"] = triton_utils
        with contextlib.chdir(path.parent):
            made = getattr(import_file(path.parent, path), "TritonPythonModel", None)
            if made is None:
                raise InvalidModel("model.py has no class TritonPythonModel.", help="Copy the file again.")
            model = made()
            if hasattr(model, "initialize"):
                model.initialize(_arguments(path, options))
        inputs, outputs = _specs(options["inputs"]), _specs(options["outputs"])
        most = options["config"].get("max_batch_size", 0)
        call = Call(model, options["name"], [spec.name for spec in outputs], most if type(most) is int else 0)
        return Opened(call=call, inputs=inputs, outputs=outputs)


def _specs(said: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=one["name"], datatype=one["datatype"], shape=tuple(one["shape"])) for one in said)


def _arguments(path: Path, options: dict[str, Any]) -> dict[str, str]:
    """What Triton gives initialize."""
    config = {"name": options["name"], "max_batch_size": 0, "backend": "python", **options["config"]}
    return {
        "model_config": json.dumps(config),
        "model_instance_kind": "CPU",
        "model_instance_name": f"{options['name']}_0",
        "model_instance_device_id": "0",
        "model_repository": str(path.parent.parent),
        "model_version": options["version"],
        "model_name": options["name"],
    }


class Call:
    """execute, for named arrays."""

    def __init__(self, model: Any, name: str, outputs: list[str], most: int) -> None:
        self._model, self._name, self._outputs, self._most = model, name, outputs, most

    def __call__(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """The outputs of all rows. Raises ModelFailed with the message of a response that has an error."""
        requests = [self._request(part) for part in self._parts(inputs)]
        responses = self._model.execute(requests)
        if not isinstance(responses, list) or len(responses) != len(requests):
            raise ModelFailed(f"The model's execute gave no list of {len(requests)} responses.")
        for response in responses:
            if response is None:
                raise ModelFailed("The model gave no response to a request.")
            if response.has_error():
                raise ModelFailed(f"The model failed: {first_line(response.error().message())}")
        answers = [{one.name(): one.as_numpy() for one in response.output_tensors()} for response in responses]
        return {name: np.concatenate([answer[name] for answer in answers]) if len(answers) > 1 else array
                for name, array in answers[0].items()}  # fmt: skip

    def _parts(self, inputs: dict[str, Array]) -> list[dict[str, Array]]:
        rows = rows_of(inputs)
        if not self._most or rows <= self._most:
            return [inputs]
        return [take(inputs, range(at, min(at + self._most, rows))) for at in range(0, rows, self._most)]

    def _request(self, inputs: dict[str, Array]) -> triton_utils.InferenceRequest:
        tensors = [triton_utils.Tensor(name, _bytes(array)) for name, array in inputs.items()]
        return triton_utils.InferenceRequest(
            inputs=tensors, requested_output_names=self._outputs, model_name=self._name
        )


def _bytes(array: Array) -> Array:
    """Text as Triton has it: an object array of bytes."""
    if array.dtype.kind != "O":
        return array
    made = np.empty(array.size, dtype=object)
    made[:] = [item.encode() if isinstance(item, str) else item for item in array.ravel()]
    return made.reshape(array.shape)
