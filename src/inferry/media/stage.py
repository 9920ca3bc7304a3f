"""The stage between codec and model: files become tensors, scores get their class names.

Data flow: a call's inputs, where a file input may be an array of encoded files -> `prepare` -> tensors as the
model takes them; the model's outputs -> `finish` -> those of the signature. Codecs know the signature alone,
runtimes `bare` of it: what the model itself takes and gives.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InvalidInput, ModelFailed
from inferry.interfaces.codec import Call, Codec, Encoded
from inferry.media import wav
from inferry.media.kinds import HEAD, kind_of
from inferry.types.frames import Request
from inferry.types.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]

DTYPES = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "UINT8": np.uint8, "INT8": np.int8,
          "INT16": np.int16, "INT32": np.int32}  # fmt: skip
LABEL, PROBABILITIES = "label", "probabilities"


def bare(signature: Signature) -> Signature:
    """The signature of the model itself."""
    classes = signature.classes
    if classes is None:
        return signature
    scores = PROBABILITIES if classes.softmax else classes.scores.name
    outputs = tuple(classes.scores if spec.name == scores else spec for spec in signature.outputs if spec.name != LABEL)
    return msgspec.structs.replace(signature, outputs=outputs, classes=None)


def needed(signature: Signature) -> bool:
    """Whether there is anything to do."""
    return signature.classes is not None or any(spec.takes_files for spec in signature.inputs)


class Stage:
    """What comes before and after one model."""

    def __init__(self, signature: Signature) -> None:
        self._files = [spec for spec in signature.inputs if spec.takes_files]
        if any(spec.image for spec in self._files):
            import inferry.media.images  # noqa: F401 - now, not with the first request
        self._classes = signature.classes
        named = [spec for spec in signature.outputs if spec.labels]
        self._labels = np.array([str(label) for label in named[0].labels], dtype=object) if named else None

    def prepare(self, inputs: Any) -> Any:
        """Inputs with every file made into its tensor. Raises InvalidInput."""
        for spec in self._files:
            given = inputs[spec.name]
            if given.dtype == object:
                inputs = {**inputs, spec.name: tensor_of(given.reshape(-1).tolist(), spec)}
        return inputs

    def finish(self, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Outputs with `label` in front of the scores. Raises ModelFailed."""
        if self._classes is None:
            return outputs
        made: dict[str, Array] = {}
        for name, array in outputs.items():
            if name != self._classes.scores.name:
                made[name] = array
                continue
            scores, labels = np.asarray(array), self._labels
            if labels is None or scores.ndim != 2 or scores.shape[1] != len(labels):
                raise ModelFailed(f"The model's output {name!r} does not have a score for each class.")
            made[LABEL] = labels[scores.argmax(axis=1)]
            made[PROBABILITIES if self._classes.softmax else name] = (
                softmax(scores) if self._classes.softmax else scores
            )
        return made


class Staged:
    """A codec with the stage behind it."""

    def __init__(self, codec: Codec, stage: Stage) -> None:
        self._codec = codec
        self._stage = stage

    def decode(self, request: Request) -> Call:
        """As of the codec."""
        call = self._codec.decode(request)
        call.inputs, call.alike = self._stage.prepare(call.inputs), None
        return call

    def encode(self, call: Call, outputs: Any) -> Encoded:
        """As of the codec."""
        return self._codec.encode(call, self._stage.finish(outputs))

    def refuse(self, error: Any) -> bytes:
        """As of the codec."""
        return self._codec.refuse(error)


def softmax(scores: Array) -> Array:
    """Of each row, in the scores' own precision."""
    away = np.exp(scores - scores.max(axis=1, keepdims=True))
    made: Array = away / away.sum(axis=1, keepdims=True)
    return made


def tensor_of(files: list[Any], spec: TensorSpec) -> Array:
    """The tensor of an input from one file a row. Raises InvalidInput that says which file is wrong, and why."""
    rows = [_row(_content(file), spec, _what(spec, at, len(files))) for at, file in enumerate(files)]
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        raise InvalidInput(
            f"The files for {spec.name!r} become tensors of different sizes.",
            help="Send them in requests of their own, or declare a size.",
        )
    tensor = np.stack(rows)
    fits = len(tensor.shape) == len(spec.shape) and all(
        want in (-1, have) for have, want in zip(tensor.shape, spec.shape, strict=True)
    )
    if not fits:
        raise InvalidInput(
            f"The files for {spec.name!r} become a tensor of the shape {list(tensor.shape)}, "
            f"but the model takes {list(spec.shape)}.",
            help="-1 stands for any size.",
        )
    return as_type(tensor, spec.datatype)


def as_type(tensor: Array, datatype: str) -> Array:
    """float32 values in another datatype, whole ones rounded and kept in range."""
    dtype = np.dtype(DTYPES[datatype])
    if dtype.kind == "f":
        return tensor.astype(dtype, copy=False)
    limits: Any = np.iinfo(datatype.lower())
    return np.rint(tensor).clip(limits.min, limits.max).astype(dtype)


def _what(spec: TensorSpec, at: int, count: int) -> str:
    kind = "picture" if spec.image else "sound"
    return f"The {kind} of row {at + 1}" if count > 1 else f"The {kind}"


def _row(data: bytes, spec: TensorSpec, what: str) -> Array:
    if spec.image is not None:
        from inferry.media import images  # Pillow: only there when a picture is declared

        return images.to_tensor(data, spec.image, what)
    assert spec.audio is not None
    wave = wav.to_tensor(data, spec.audio, what)
    wanted = spec.shape[-1]
    if wanted < 0 or wave.shape[-1] == wanted:
        return _ranked(wave, spec)
    if wave.shape[-1] > wanted:
        raise InvalidInput(
            f"{what} has {wave.shape[-1]} samples at {spec.audio.rate} a second, but the model takes {wanted}.",
            help="Send a shorter piece of it.",
        )
    return _ranked(np.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(0, wanted - wave.shape[-1])]), spec)


def _ranked(wave: Array, spec: TensorSpec) -> Array:
    return wave[np.newaxis] if wave.ndim == len(spec.shape) - 2 else wave


def _content(file: Any) -> bytes:
    """Encoded bytes; text is base64, unless it begins like a file that happens to be text."""
    if isinstance(file, bytes):
        return file
    if not isinstance(file, str):
        raise InvalidInput("There is no file in a row.", help="Send one for each row.")
    raw = file.encode(errors="replace")
    if kind_of(raw[:HEAD]):
        return raw
    try:
        return base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("A file came as text that is not base64.", help='Send {"b64": "..."} or bytes.') from None
