"""Signature: what a model takes and gives, in the Open Inference Protocol's datatypes.

Three kinds of signature:
- ``tensors``: named arrays of fixed rank (ONNX, arrays into scikit-learn or Python).
- ``table``: named columns, one value a row (a data frame); every input has shape [-1].
- ``open``: any JSON value or any named tensors; a plain Python model without a sample.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Scalar = str | int | float | bool

DATATYPES = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BYTES", "BF16",
)  # fmt: skip


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One named input or output.

    `shape` uses -1 for a size that may vary; the first dimension is the row (batch)
    dimension when the signature is `batchable`. `categories`: the values seen for a
    categorical column (informative: an unknown one goes to the model as it is unless
    `closed`). `labels`: for a probabilities output, the class label of each column.
    `nullable`: JSON null is allowed (NaN for FP64, None for BYTES).
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    categories: tuple[Scalar, ...] = ()
    closed: bool = False
    labels: tuple[Scalar, ...] = ()
    nullable: bool = False


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Inputs and outputs of a model.

    `batchable`: rows of several requests may be stacked along the first dimension of
    every input and the outputs split again; proven on an example when inspected.
    """

    kind: Literal["tensors", "table", "open"]
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    batchable: bool = False


class Inspection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the inspector found by loading a model in the sandbox.

    `example` is a body for `POST /predict/{endpoint}` that works, `answer` what the
    model said to it. `notes` are sentences for the person who deploys. `batch_us` is the
    batch curve: microseconds of one call by its number of rows, when rows may be stacked.
    `threads_gain`: how many times faster one prediction is with all cores than with one (0: not tried).
    """

    signature: Signature
    example: Any = None
    answer: Any = None
    task: str = ""
    details: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    load_ms: float = 0.0
    predict_ms: float = 0.0
    batch_us: dict[str, float] = {}
    threads_gain: float = 0.0
