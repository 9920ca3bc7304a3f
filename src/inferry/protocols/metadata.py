"""Metadata: what the Open Inference Protocol and TensorFlow Serving tell about a server and its models.

Data flow: (name, versions, signature, runtime) from the routing table -> dicts that the
gateway writes as JSON. Light on purpose: no numpy here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from inferry.types.signature import Signature, TensorSpec

EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")

TF_TYPES = {"FP16": "HALF", "FP32": "FLOAT", "FP64": "DOUBLE", "BF16": "BFLOAT16", "BYTES": "STRING"}
"""Datatype -> what TensorFlow calls it, where the two differ."""

MAX_BATCH_SIZE = 1024
"""What a model configuration names as the largest batch when rows may be stacked."""


def server_metadata(version: str) -> dict[str, Any]:
    """GET /v2."""
    return {"name": "inferry", "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(name: str, versions: Iterable[int], signature: Signature, runtime: str) -> dict[str, Any]:
    """GET /v2/models/{name}. An open signature lists no inputs or outputs."""
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": platform(runtime),
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [_tensor(spec) for spec in signature.outputs],
    }


def model_config(name: str, signature: Signature, runtime: str) -> dict[str, Any]:
    """GET /v2/models/{name}/config, in Triton's words.

    There, a model with a `max_batch_size` leaves the batch dimension out of its `dims`; that
    is only possible when every input and output has a further dimension.
    """
    specs = (*signature.inputs, *signature.outputs)
    stacked = signature.batchable and bool(specs) and all(len(spec.shape) > 1 and spec.shape[0] == -1 for spec in specs)
    skip = 1 if stacked else 0
    return {
        "name": name,
        "platform": platform(runtime),
        "backend": "inferry",
        "max_batch_size": MAX_BATCH_SIZE if stacked else 0,
        "input": [_config_tensor(spec, skip) for spec in signature.inputs],
        "output": [_config_tensor(spec, skip) for spec in signature.outputs],
        "model_transaction_policy": {"decoupled": False},
    }


def platform(runtime: str) -> str:
    """The platform string of a runtime."""
    return f"inferry_{runtime}"


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _config_tensor(spec: TensorSpec, skip: int) -> dict[str, Any]:
    kind = {"BYTES": "STRING"}.get(spec.datatype, spec.datatype)
    shape: Sequence[int] = spec.shape[skip:]
    return {"name": spec.name, "data_type": f"TYPE_{kind}", "dims": list(shape)}


def servable_metadata(name: str, version: int, signature: Signature) -> dict[str, Any]:
    """GET /v1/models/{name}/metadata, in TensorFlow Serving's words. An open signature lists nothing."""
    definition = {
        "inputs": {spec.name: _tensor_info(spec) for spec in signature.inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in signature.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": {"serving_default": definition}}},
    }


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    sizes = [{"size": str(size), "name": ""} for size in spec.shape]
    return {
        "dtype": f"DT_{TF_TYPES.get(spec.datatype, spec.datatype)}",
        "tensor_shape": {"dim": sizes, "unknown_rank": False},
        "name": f"{spec.name}:0",
    }
