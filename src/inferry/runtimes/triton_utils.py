"""What Triton's Python backend gives a model.py as `triton_python_backend_utils`: tensors, requests, answers.

Data flow: named arrays -> Tensor -> InferenceRequest -> the model's execute -> InferenceResponse -> named arrays.
Written from Triton's documentation. Calls of other models (BLS) and answers by a sender are not served, and say so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

_NUMPY: dict[str, Any] = {
    "TYPE_BOOL": np.bool_, "TYPE_UINT8": np.uint8, "TYPE_UINT16": np.uint16, "TYPE_UINT32": np.uint32,
    "TYPE_UINT64": np.uint64, "TYPE_INT8": np.int8, "TYPE_INT16": np.int16, "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64, "TYPE_FP16": np.float16, "TYPE_FP32": np.float32, "TYPE_FP64": np.float64,
    "TYPE_STRING": np.object_,
}  # fmt: skip


class TritonModelException(Exception):
    """What a model raises."""


class TritonError:
    """Why one request has no answer."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message: str, code: int = 1) -> None:
        self._message, self._code = str(message), code

    def message(self) -> str:
        """For people."""
        return self._message

    def code(self) -> int:
        """One of the numbers above."""
        return self._code


class Tensor:
    """A named array. Text is an object array of bytes."""

    def __init__(self, name: str, array: Any) -> None:
        self._name, self._array = name, np.asarray(array)

    @staticmethod
    def from_dlpack(name: str, tensor: Any) -> Tensor:
        """A tensor of another framework, shared."""
        return Tensor(name, np.from_dlpack(tensor))

    def to_dlpack(self) -> Any:
        """For other frameworks."""
        return self._array.__dlpack__()

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def name(self) -> str:
        """As in config.pbtxt."""
        return self._name

    def as_numpy(self) -> Any:
        """The array."""
        return self._array

    def shape(self) -> list[int]:
        """Sizes."""
        return list(self._array.shape)

    def is_cpu(self) -> bool:
        """Always."""
        return True


class InferenceRequest:
    """One request's inputs."""

    def __init__(
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs: Sequence[Tensor] = (),
        requested_output_names: Sequence[str] = (),
        model_name: str = "",
        model_version: int = -1,
        parameters: str | dict[str, Any] = "{}",
        **_: Any,
    ) -> None:
        self._id, self._correlation, self._inputs = request_id, correlation_id, list(inputs)
        self._wanted, self._name, self._version = list(requested_output_names), model_name, model_version
        self._parameters = parameters if isinstance(parameters, str) else json.dumps(parameters)

    def request_id(self) -> str:
        """Empty: Inferry's own id is in its logs."""
        return self._id

    def correlation_id(self) -> int | str:
        """0: requests belong to no sequence."""
        return self._correlation

    def inputs(self) -> list[Tensor]:
        """All inputs."""
        return self._inputs

    def requested_output_names(self) -> list[str]:
        """All outputs."""
        return self._wanted

    def model_name(self) -> str:
        """As in config.pbtxt."""
        return self._name

    def model_version(self) -> int:
        """The numbered folder."""
        return self._version

    def parameters(self) -> str:
        """JSON."""
        return self._parameters

    def timeout(self) -> int:
        """None is set."""
        return 0

    def flags(self) -> int:
        """None."""
        return 0

    def is_cancelled(self) -> bool:
        """Never."""
        return False

    def exec(self, *_: Any, **__: Any) -> Any:
        """A call of another model."""
        raise TritonModelException("calls of other models (BLS) are not served")

    def get_response_sender(self) -> Any:
        """For answers in parts."""
        raise TritonModelException("answers by a response sender (decoupled models) are not served")


class InferenceResponse:
    """One request's outputs, or why there are none."""

    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | str | None = None, **_: Any) -> None:
        self._outputs = list(output_tensors)
        self._error = TritonError(error) if isinstance(error, str) else error

    def output_tensors(self) -> list[Tensor]:
        """All outputs."""
        return self._outputs

    def has_error(self) -> bool:
        """Whether there are none."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """Why."""
        return self._error


class Logger:
    """Writes to the endpoint's log."""

    INFO, WARNING, ERROR, VERBOSE = range(4)

    @staticmethod
    def log(message: Any, _level: int = 0) -> None:
        """One line."""
        print(message, file=sys.stderr)

    log_info = log_warn = log_error = log_verbose = log


def _named(tensors: Sequence[Any], name: str) -> Any:
    return next((tensor for tensor in tensors if tensor.name() == name), None)


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    """None when it is not there."""
    found: Tensor | None = _named(request.inputs(), name)
    return found


def get_output_tensor_by_name(response: InferenceResponse, name: str) -> Tensor | None:
    """None when it is not there."""
    found: Tensor | None = _named(response.output_tensors(), name)
    return found


def _config(model_config: Any, field: str, name: str) -> Any:
    config = json.loads(model_config) if isinstance(model_config, str | bytes) else model_config
    return next((item for item in config.get(field, []) if item.get("name") == name), None)


def get_input_config_by_name(model_config: Any, name: str) -> Any:
    """An input's part of the configuration; None when it is not there."""
    return _config(model_config, "input", name)


def get_output_config_by_name(model_config: Any, name: str) -> Any:
    """An output's part of the configuration; None when it is not there."""
    return _config(model_config, "output", name)


def using_decoupled_model_transaction_policy(model_config: Any) -> bool:
    """Such models are not served."""
    return bool(model_config.get("model_transaction_policy", {}).get("decoupled", False))


def triton_string_to_numpy(name: str) -> Any:
    """The numpy type of a data_type, such as TYPE_FP32."""
    return _NUMPY[name]


def numpy_to_triton_string(dtype: Any) -> str:
    """The data_type of a numpy type."""
    wanted = np.dtype(dtype)
    return next((name for name, known in _NUMPY.items() if np.dtype(known) == wanted), "TYPE_STRING")
