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


class ImageSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a picture becomes an input tensor, in this order; sizes in pixels.

    `mode`: the colours the model sees. `shortest_edge`: resize so that the shorter side is this, the other
    in proportion; else to `height` x `width`; all 0: as it comes. `resample`: Pillow's filter. `crop`:
    (height, width) around the middle, black where the picture is smaller. Then `(pixel * scale - mean) / std`,
    one `mean` and `std` a channel (empty: none), in `layout`.
    """

    mode: Literal["RGB", "BGR", "L"] = "RGB"
    shortest_edge: int = 0
    height: int = 0
    width: int = 0
    resample: str = "bilinear"
    crop: tuple[int, int] = (0, 0)
    scale: float = 1 / 255
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layout: Literal["NCHW", "NHWC"] = "NCHW"


class AudioSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a WAV file becomes an input tensor: samples from -1 to 1 at `rate` a second.

    `channels`: 1 mixes all into one. `normalise`: to mean 0 and variance 1, as speech models of Hugging Face want it.
    """

    rate: int
    channels: int = 1
    normalise: bool = False


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One named input or output.

    `shape` uses -1 for a size that may vary; the first dimension is the row (batch)
    dimension when the signature is `batchable`. `categories`: the values seen for a
    categorical column (informative: an unknown one goes to the model as it is unless
    `closed`). `labels`: for a probabilities output, the class label of each column.
    `nullable`: JSON null is allowed (NaN for FP64, None for BYTES). `top`: how many of the labels, the most
    likely first, the plain JSON answer names (0: all). `image`, `audio`: an input that also takes files, as BYTES.
    `json`: an output of BYTES that are JSON text; the plain door answers the value itself.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    categories: tuple[Scalar, ...] = ()
    closed: bool = False
    labels: tuple[Scalar, ...] = ()
    nullable: bool = False
    top: int = 0
    json: bool = False
    image: ImageSpec | None = None
    audio: AudioSpec | None = None

    @property
    def takes_files(self) -> bool:
        """Whether encoded files may come in place of the tensor."""
        return self.image is not None or self.audio is not None


class Classes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Class names added to a model's scores. `scores`: the output as the model has it; in the signature
    it carries the labels, is called "probabilities" after a `softmax`, and follows a new output "label"."""

    scores: TensorSpec
    softmax: bool = False


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Inputs and outputs of a model.

    `batchable`: rows of several requests may be stacked along the first dimension of
    every input and the outputs split again; proven on an example when inspected.
    `whole`: an open model that is given a JSON body as it came, its "inputs" or "instances" not unwrapped:
    code that another serving system's clients speak to.
    `classes`: what is made of the model's own outputs before they are answered.
    """

    kind: Literal["tensors", "table", "open"]
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    batchable: bool = False
    whole: bool = False
    classes: Classes | None = None


NO_EXAMPLE = msgspec.Raw(b"null")


def as_example(body: Any) -> msgspec.Raw:
    """A body as the JSON text that is kept of it: of an image that is a megabyte, which few ever look into."""
    return msgspec.Raw(msgspec.json.encode(body))


class Inspection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the inspector found by loading a model in the sandbox.

    `example` is a body for `POST /predict/{endpoint}` that works, `answer` what the
    model said to it. `notes` are sentences for the person who deploys. `batch_us` is the
    batch curve: microseconds of one call by its number of rows, when rows may be stacked.
    `threads_gain`: how many times faster one prediction is with all cores than with one (0: not tried).
    `packing_gain`: how many times faster it is with weights packed than as they lie in the file (0: not tried).
    `memory_mb`: what the process held when it had loaded and answered, `peak_mb`: the most meanwhile (0: not known).
    """

    signature: Signature
    example: msgspec.Raw = NO_EXAMPLE
    answer: Any = None
    task: str = ""
    details: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    load_ms: float = 0.0
    predict_ms: float = 0.0
    batch_us: dict[str, float] = {}
    threads_gain: float = 0.0
    packing_gain: float = 0.0
    memory_mb: float = 0.0
    peak_mb: float = 0.0

    @property
    def body(self) -> bytes | None:
        """The example as it is sent; None when there is none."""
        return bytes(self.example) if self.example != NO_EXAMPLE else None
