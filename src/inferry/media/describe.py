"""Describe with a declaration: a model's Inspection, its inputs taking files and its scores named.

Data flow: loaded model, Declared, the sample (parsed, or a file's bytes) -> a tensor of the sample file, or of
one made up -> the model's own `describe` -> specs with ImageSpec or AudioSpec, outputs with classes -> an
example that is a file, answered once more through the stage, as a replica will.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InferryError, InvalidInput, InvalidModel
from inferry.interfaces.runtime import LoadedModel
from inferry.media import wav
from inferry.media.declaration import OURS, Declared
from inferry.media.stage import DTYPES, LABEL, PROBABILITIES, Stage, tensor_of
from inferry.types.sample import Sample
from inferry.types.signature import Classes, ImageSpec, Inspection, Signature, TensorSpec, as_example

MAX_EXAMPLE = 64 << 10  # bytes of an example file
MAX_ANSWER_VALUES = 65536
PAGE = "docs/tasks/images-audio-tables.md"


def describe(model: LoadedModel, declared: Declared, sample: Sample | None, file: bytes | None) -> Inspection:
    """The model's Inspection. `file`: a sample that is a picture or a sound. Raises InvalidModel, InvalidInput."""
    if file is not None and not declared.files:
        raise InvalidInput(
            "The sample is a picture or a sound, but nothing says how it becomes the model's input.",
            help=f"Put a {OURS} beside the model: {PAGE}.",
        )
    if not declared.files and not declared.labels:
        return model.describe(sample)
    if not declared.files:
        return _named(model.describe(sample), declared)
    try:
        return _with_files(model, declared, sample, file)
    except InferryError as error:
        if declared.strict or file is not None:
            raise
        plain = model.describe(sample)
        note = f"{declared.source} was left aside: {error.message}"
        return msgspec.structs.replace(plain, notes=(*plain.notes, note))


def _with_files(model: LoadedModel, declared: Declared, sample: Sample | None, file: bytes | None) -> Inspection:
    given = _example_file(declared, file)
    if sample is not None:
        found = model.describe(sample)
    elif _sized(declared):
        found = _tried(model, declared, given)
    else:  # the model's own size
        found = model.describe(None)
    spec = _spec(found.signature, declared)
    if spec.audio is not None and len(found.signature.inputs) == 1:
        spec = _any_length(model, spec, given)
    inputs = tuple(spec if one.name == spec.name else one for one in found.signature.inputs)
    found = msgspec.structs.replace(found, signature=msgspec.structs.replace(found.signature, inputs=inputs))
    found = _named(found, declared)
    if len(inputs) > 1:
        return found
    stage = Stage(found.signature)
    outputs = stage.finish(model.predict({spec.name: tensor_of([given], spec)}))
    made_up = "The example file is made up: give a sample to see real values."
    notes = tuple(note for note in found.notes if "made up" not in note)
    return msgspec.structs.replace(
        found,
        example=as_example({"inputs": {"b64": base64.b64encode(given).decode()}}),
        answer=shown(found.signature, outputs),
        notes=notes if file is not None or sample is not None else (*notes, made_up),
    )


def _example_file(declared: Declared, file: bytes | None) -> bytes:
    if declared.image is not None:
        from inferry.media import images

        return images.made_up() if file is None else images.example(file, MAX_EXAMPLE)
    assert declared.audio is not None
    return wav.made_up(declared.audio.rate) if file is None else file


def _sized(declared: Declared) -> bool:
    """Whether the declaration alone says how large the tensor is."""
    image = declared.image
    return image is None or bool(image.crop[0] or image.height)


def _candidates(declared: Declared) -> Iterator[TensorSpec]:
    """What the input may look like, before the model was asked."""
    name = declared.input or "input"
    if declared.image is not None:
        for layout in (declared.layout,) if declared.layout else ("NCHW", "NHWC"):
            image = msgspec.structs.replace(declared.image, layout=layout)
            yield TensorSpec(name=name, datatype="FP32", shape=(-1,) * 4, image=image)
        return
    ranks = (2, 3) if declared.audio is None or declared.audio.channels == 1 else (3,)
    for rank in ranks:
        yield TensorSpec(name=name, datatype="FP32", shape=(-1,) * rank, audio=declared.audio)


def _tried(model: LoadedModel, declared: Declared, file: bytes) -> Inspection:
    """The model's own description by the tensor of a file, in the first layout that it takes."""
    refusal: InferryError | None = None
    for spec in _candidates(declared):
        try:
            return model.describe(Sample(kind="tensors", tensors={declared.input: tensor_of([file], spec)}))
        except (InvalidInput, InvalidModel) as error:
            refusal = refusal or error
    assert refusal is not None
    raise InvalidModel(
        f"The model does not take what {declared.source} declares. {refusal.message}",
        help=f"Compare it with how the model was trained: {PAGE}.",
    )


def _spec(signature: Signature, declared: Declared) -> TensorSpec:
    """The input that takes files, fitted to the declaration. Raises InvalidModel."""
    ranks = (4,) if declared.image is not None else (2, 3)
    fitting = [
        spec
        for spec in signature.inputs
        if spec.name == declared.input or (not declared.input and len(spec.shape) in ranks and spec.datatype in DTYPES)
    ]
    names = ", ".join(spec.name for spec in signature.inputs) or "any JSON"
    if len(fitting) != 1 or len(fitting[0].shape) not in ranks or fitting[0].datatype not in DTYPES:
        raise InvalidModel(
            f"{declared.source} declares {'a picture' if declared.image else 'a sound'}, "
            f"but which of the model's inputs it is for is not clear: it takes {names}.",
            help='Name a tensor of numbers there: "input": "...".',
        )
    spec = fitting[0]
    if declared.image is None:
        return msgspec.structs.replace(spec, audio=declared.audio)
    return msgspec.structs.replace(spec, image=_fitted(spec, declared))


def _any_length(model: LoadedModel, spec: TensorSpec, file: bytes) -> TensorSpec:
    """The spec with a free length, when its fixed one is only the sample's: the model also answers half of it."""
    free = msgspec.structs.replace(spec, shape=(*spec.shape[:-1], -1))
    tensor = tensor_of([file], free)
    try:
        model.predict({spec.name: tensor[..., : tensor.shape[-1] // 2]})
    except InferryError:
        return spec
    return free


def _fitted(spec: TensorSpec, declared: Declared) -> ImageSpec:
    """The ImageSpec with layout and size as the model's input has them."""
    image = declared.image
    assert image is not None
    channels = 1 if image.mode == "L" else 3
    layouts = [declared.layout] if declared.layout else ["NCHW", "NHWC"]
    sides = {"NCHW": (1, 2, 3), "NHWC": (3, 1, 2)}
    # a fixed number of channels speaks louder than a free one
    layouts.sort(key=lambda layout: spec.shape[sides[layout][0]] != channels)
    layout = layouts[0]
    channel, down, across = (spec.shape[place] for place in sides[layout])
    made = msgspec.structs.replace(image, layout=layout)
    if channel not in (-1, channels):
        raise InvalidModel(
            f"{declared.source} declares {image.mode} in {layout}, which is {channels} channels, "
            f"but the model's input {spec.name!r} is {list(spec.shape)}.",
            help=f"Declare another mode or layout: {PAGE}.",
        )
    high, wide = image.crop if image.crop[0] else (image.height, image.width)
    if not high and not image.shortest_edge:
        return msgspec.structs.replace(made, height=down, width=across) if min(down, across) > 0 else made
    if (high and down not in (-1, high)) or (wide and across not in (-1, wide)):
        raise InvalidModel(
            f"{declared.source} makes pictures of {wide} x {high} pixels, but the model takes {across} x {down}.",
            help=f"Declare that size: {PAGE}.",
        )
    return made


def _named(found: Inspection, declared: Declared) -> Inspection:
    """Class names at the scores. Names that nobody declared and that fit nowhere are passed over."""
    labels, signature = declared.labels, found.signature
    if not labels:
        return found
    fitting = [
        spec
        for spec in signature.outputs
        if len(spec.shape) == 2 and spec.datatype.startswith("FP") and spec.shape[1] in (-1, len(labels))
        and spec.name == (declared.output or spec.name)
    ]  # fmt: skip
    taken = any(spec.labels or spec.name == LABEL for spec in signature.outputs)
    if len(fitting) != 1 or taken:
        if declared.labels_strict:
            there = ", ".join(f"{one.name} {list(one.shape)}" for one in signature.outputs) or "any JSON"
            raise InvalidModel(
                f"{declared.source} names {len(labels)} classes, but no output of the model has that many scores.",
                help=f"Its outputs: {there}.",
            )
        return found
    scores = fitting[0]
    soft = declared.softmax if declared.strict else bool(declared.softmax) and scores.name == "logits"
    top = declared.top if declared.top < len(labels) else 0
    public = msgspec.structs.replace(
        scores,
        name=PROBABILITIES if soft else scores.name,
        shape=(scores.shape[0], len(labels)),
        labels=labels,
        top=top,
    )
    outputs: list[TensorSpec] = []
    for spec in signature.outputs:
        if spec.name == scores.name:
            outputs.append(TensorSpec(name=LABEL, datatype="BYTES", shape=scores.shape[:1]))
        outputs.append(public if spec.name == scores.name else spec)
    classes = Classes(scores=scores, softmax=bool(soft))
    signature = msgspec.structs.replace(signature, outputs=tuple(outputs), classes=classes)
    answer = renamed(found.answer, public, scores.name)
    return msgspec.structs.replace(found, signature=signature, task="classification", answer=answer)


def renamed(answer: Any, spec: TensorSpec, scores: str) -> Any:
    """The example's answer, by row, as the signature now says it."""
    if not isinstance(answer, list) or not all(isinstance(row, dict) and scores in row for row in answer):
        return None
    raw = np.array([row[scores] for row in answer], dtype=np.float32)
    signature = Signature(
        kind="tensors", outputs=(spec,), classes=Classes(scores=replace_name(spec, scores), softmax=spec.name != scores)
    )
    rest = [{name: value for name, value in row.items() if name != scores} for row in answer]
    made = shown(signature, Stage(signature).finish({scores: raw}))
    return [{**row, **other} for row, other in zip(made, rest, strict=True)]


def replace_name(spec: TensorSpec, name: str) -> TensorSpec:
    """The spec under another name."""
    return msgspec.structs.replace(spec, name=name)


def shown(signature: Signature, outputs: Any) -> Any:
    """An answer as plain JSON has it: one object a row, the likeliest labels first."""
    arrays = {name: np.asarray(array) for name, array in outputs.items()}
    lengths = {len(array) if array.ndim else -1 for array in arrays.values()}
    if len(lengths) != 1 or sum(array.size for array in arrays.values()) > MAX_ANSWER_VALUES:
        return None
    specs = {spec.name: spec for spec in signature.outputs}
    columns = {name: _column(array, specs.get(name)) for name, array in arrays.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _column(array: Any, spec: TensorSpec | None) -> list[Any]:
    values: list[Any] = [_plain(row) for row in array.tolist()] if array.dtype.kind == "f" else array.tolist()
    if spec is None or not spec.labels:
        return values
    rows = [list(zip(map(str, spec.labels), row, strict=True)) for row in values]
    if spec.top:
        rows = [sorted(row, key=lambda pair: -(pair[1] or 0))[: spec.top] for row in rows]
    return [dict(row) for row in rows]


def _plain(value: Any) -> Any:
    """Numbers of seven digits, no NaN or infinity."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return float(f"{value:.7g}") if np.isfinite(value) else None
