"""Declaration: how files become a model's inputs, and what its scores are called, read beside the model.

    preprocessing.json        ours; strict: whatever is wrong in it refuses the model
    preprocessor_config.json  Hugging Face image processors and feature extractors
    config.json               its `id2label`
    labels.txt, labels.json   class names, one a line, or a list, or {"0": "cat", ...}

Only ours says that a file is meant for this model. What the others say is taken when it fits, and
otherwise told in a note. No Pillow and no numpy here: detection reads it too.

Data flow: artifact folder, entry -> Declared; with the model's inputs known, `fitted` -> ImageSpec or AudioSpec.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from inferry.errors import InvalidModel
from inferry.types.signature import AudioSpec, ImageSpec

OURS, PROCESSOR = "preprocessing.json", "preprocessor_config.json"
MAX_BYTES, MAX_LABELS, MAX_SIDE = 4 << 20, 100_000, 1 << 15
TOP = 5
Filter = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
RESAMPLE: tuple[Filter, ...] = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's filters by their numbers."""
_HELP = "docs/tasks/images-audio-tables.md describes the file."


class _Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class Size(_Strict):
    """`shortest_edge`, or `height` and `width`."""

    shortest_edge: int = 0
    height: int = 0
    width: int = 0


class ImageInput(_Strict):
    """A picture. Defaults: the model's own size, 0 to 1, not normalised, the model's own layout."""

    input: str = ""
    mode: Literal["RGB", "BGR", "L"] = "RGB"
    resize: Size | int | None = None
    resample: Filter = "bilinear"
    crop: Size | int | None = None
    scale: float = 1 / 255
    mean: list[float] | float | None = None
    std: list[float] | float | None = None
    layout: Literal["NCHW", "NHWC"] | None = None


class AudioInput(_Strict):
    """A sound."""

    rate: int
    input: str = ""
    channels: int = 1
    normalise: bool = False


class ClassNames(_Strict):
    """Names of classes: a list, or a file beside this one."""

    labels: list[str] | str = "labels.txt"
    output: str = ""
    softmax: bool = False
    top: int = TOP


class File(_Strict):
    """preprocessing.json."""

    image: ImageInput | None = None
    audio: AudioInput | None = None
    classes: ClassNames | None = None


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What was found. `strict`: in our own file, so that it must fit. `source`: its name, for people."""

    image: ImageSpec | None = None
    audio: AudioSpec | None = None
    input: str = ""
    layout: str = ""
    labels: tuple[str, ...] = ()
    output: str = ""
    softmax: bool | None = None
    top: int = TOP
    strict: bool = False
    labels_strict: bool = False
    source: str = ""

    @property
    def files(self) -> bool:
        """Whether an input takes files."""
        return self.image is not None or self.audio is not None


def find(artifact: Path, entry: str) -> Declared:
    """The declaration beside the model, or an empty one. InvalidModel for a wrong one of ours."""
    beside = (artifact / entry).parent if entry else artifact
    for folder in dict.fromkeys((beside, artifact)):
        if (folder / OURS).is_file():
            return ours(folder)
    for folder in dict.fromkeys((beside, artifact)):
        found = theirs(folder)
        if found.files or found.labels:
            return found
    return Declared()


def ours(folder: Path) -> Declared:
    """preprocessing.json."""
    try:
        file = msgspec.json.decode(_bytes(folder / OURS) or b"", type=File)
    except msgspec.ValidationError as error:
        raise _wrong(str(error)) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidModel(f"{OURS} is not valid JSON: {error}.", help=_HELP) from None
    if file.image and file.audio:
        raise InvalidModel(f"{OURS} declares both a picture and a sound.", help="Declare one of them.")
    declared = Declared(strict=True, source=OURS)
    if file.image:
        declared = _with(declared, image=_image(file.image), input=file.image.input, layout=file.image.layout or "")
    if file.audio:
        audio = file.audio
        _check(1000 <= audio.rate <= 768_000, "audio.rate must be from 1000 to 768000 samples a second")
        _check(1 <= audio.channels <= 64, "audio.channels must be from 1 to 64")
        spec = AudioSpec(rate=audio.rate, channels=audio.channels, normalise=audio.normalise)
        declared = _with(declared, audio=spec, input=audio.input)
    if file.classes:
        names = file.classes
        given = names.labels
        labels = _labels_at(folder, given) if isinstance(given, str) else tuple(given)
        _check(0 < len(labels) <= MAX_LABELS, f"classes.labels names {len(labels)} classes")
        _check(len(set(labels)) == len(labels), "classes.labels names a class twice")
        _check(names.top >= 0, "classes.top must be 0 (all) or more")
        declared = _with(
            declared, labels=labels, output=names.output, softmax=names.softmax, top=names.top, labels_strict=True
        )
    return declared


def _with(declared: Declared, **changes: Any) -> Declared:
    return Declared(**{**vars(declared), **changes})


def _image(image: ImageInput) -> ImageSpec:
    resize, crop = _size(image.resize, "resize"), _size(image.crop, "crop")
    _check(not crop.shortest_edge, "image.crop takes height and width")
    channels = 1 if image.mode == "L" else 3
    return ImageSpec(
        mode=image.mode, shortest_edge=resize.shortest_edge, height=resize.height, width=resize.width,
        resample=image.resample, crop=(crop.height, crop.width), scale=image.scale,
        mean=_numbers(image.mean, channels, "mean"), std=_numbers(image.std, channels, "std"),
    )  # fmt: skip


def _size(given: Size | int | None, what: str) -> Size:
    size = Size(height=given, width=given) if isinstance(given, int) else given or Size()
    sides = (size.shortest_edge, size.height, size.width)
    _check(all(0 <= side <= MAX_SIDE for side in sides), f"image.{what} must be from 1 to {MAX_SIDE} pixels")
    _check(given is None or any(sides), f"image.{what} must be from 1 to {MAX_SIDE} pixels")
    alone = bool(size.shortest_edge) != bool(size.height or size.width)
    _check(given is None or (alone and bool(size.height) == bool(size.width)),
           f"image.{what} takes one number, shortest_edge alone, or height and width")  # fmt: skip
    return size


def _numbers(given: list[float] | float | None, channels: int, what: str) -> tuple[float, ...]:
    if given is None:
        return ()
    numbers = (float(given),) * channels if isinstance(given, int | float) else tuple(given)
    _check(len(numbers) == channels, f"image.{what} has {len(numbers)} numbers for {channels} channels")
    _check(what != "std" or all(number > 0 for number in numbers), "image.std must be above 0")
    return numbers


def _check(good: bool, sentence: str) -> None:
    if not good:
        raise InvalidModel(f"{OURS}: {sentence}.", help=_HELP)


def _wrong(reason: str) -> InvalidModel:
    """Msgspec's sentence, with the key that was probably meant."""
    unknown = re.search(r"unknown field `(.*?)`(?: - at `\$\.?(.*?)`)?", reason)
    if unknown is None:
        return InvalidModel(f"{OURS}: {reason}.", help=_HELP)
    place = (unknown[2] or "").rpartition(".")[2]
    kinds: dict[str, type[msgspec.Struct]] = {
        "": File, "image": ImageInput, "audio": AudioInput, "classes": ClassNames, "resize": Size, "crop": Size,
    }  # fmt: skip
    known = list(kinds[place].__struct_fields__) if place in kinds else []
    close = difflib.get_close_matches(unknown[1], known, 1)
    return InvalidModel(
        f"{OURS} has the unknown key {unknown[1][:60]!r}{f' in {place}' if place else ''}.",
        help=f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(known))}. {_HELP}",
    )


def theirs(folder: Path) -> Declared:
    """What Hugging Face and others leave beside a model, as far as it is understood."""
    declared = Declared()
    processor = _json(folder / PROCESSOR)
    if isinstance(processor, dict):
        declared = processor_of(processor)
    config = _json(folder / "config.json")
    if isinstance(config, dict) and isinstance(config.get("id2label"), dict):
        labels = _by_number(config["id2label"])
        soft = config.get("problem_type") != "multi_label_classification"
        declared = _with(declared, labels=labels, softmax=soft, source=declared.source or "config.json")
    for name in ("labels.txt", "labels.json"):
        if not declared.labels and (folder / name).is_file():
            labels = read_labels(_bytes(folder / name), name)
            declared = _with(declared, labels=labels, softmax=False, source=declared.source or name)
    if len(set(declared.labels)) != len(declared.labels):
        declared = _with(declared, labels=())
    return declared


def processor_of(config: dict[str, Any]) -> Declared:
    """A preprocessor_config.json; an empty Declared for a kind that is not understood."""
    try:
        if {"image_mean", "do_resize", "do_normalize"} & config.keys() and "sampling_rate" not in config:
            return Declared(image=_processor_image(config), source=PROCESSOR)
        rate = config.get("sampling_rate")
        wave = str(config.get("feature_extractor_type", "")).startswith("Wav2Vec2")
        if type(rate) is int and wave and 1000 <= rate <= 768_000:
            return Declared(audio=AudioSpec(rate=rate, normalise=config.get("do_normalize") is True), source=PROCESSOR)
    except (InvalidModel, TypeError, ValueError, IndexError):
        return Declared()  # of a kind that we do not know
    return Declared()


def _processor_image(config: dict[str, Any]) -> ImageSpec:
    def on(key: str, default: bool) -> bool:
        return bool(config.get(key, default))

    size = _hugging_size(config.get("size")) if on("do_resize", True) else Size()
    crop = _hugging_size(config.get("crop_size")) if on("do_center_crop", "crop_size" in config) else Size()
    if crop.shortest_edge:
        crop = Size(height=crop.shortest_edge, width=crop.shortest_edge)
    normal = on("do_normalize", True)
    resample = config.get("resample", 2)
    image = ImageInput(
        resize=size if size != Size() else None,
        crop=crop if crop != Size() else None,
        resample=RESAMPLE[resample],
        scale=float(config.get("rescale_factor", 1 / 255)) if on("do_rescale", True) else 1.0,
        mean=[float(one) for one in config["image_mean"]] if normal and "image_mean" in config else None,
        std=[float(one) for one in config["image_std"]] if normal and "image_std" in config else None,
    )
    if "crop_pct" in config:
        raise InvalidModel("crop_pct is not known.")
    return _image(image)


def _hugging_size(given: Any) -> Size:
    """`{"height", "width"}`, `{"shortest_edge"}`, or a number: the shorter edge in old files."""
    if type(given) is int:
        return Size(shortest_edge=given)
    if isinstance(given, list | tuple) and len(given) == 2:
        return Size(height=int(given[0]), width=int(given[1]))
    if not isinstance(given, dict) or not given:
        return Size()
    if given.keys() - {"shortest_edge", "height", "width"}:
        raise InvalidModel("This size is not known.")
    return Size(**{name: int(side) for name, side in given.items()})


def _labels_at(folder: Path, name: str) -> tuple[str, ...]:
    _check("/" not in name and "\\" not in name and (folder / name).is_file(), f"there is no file {name[:60]!r}")
    return read_labels(_bytes(folder / name), name)


def read_labels(data: bytes | None, name: str) -> tuple[str, ...]:
    """One name a line; JSON when it is called so: a list, or an object by number. () for what is neither."""
    if data is None:
        return ()
    try:
        if not name.endswith(".json"):
            lines = data.decode("utf-8-sig").splitlines()
            return tuple(line.strip() for line in lines if line.strip())[:MAX_LABELS]
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ()
    if isinstance(value, dict):
        return _by_number(value)
    return tuple(map(str, value))[:MAX_LABELS] if isinstance(value, list) else ()


def _by_number(names: dict[str, Any]) -> tuple[str, ...]:
    """{"0": "cat", "1": "dog"}; () when a number is missing."""
    wanted = [str(number) for number in range(len(names))]
    return tuple(str(names[number]) for number in wanted) if set(wanted) == names.keys() else ()


def _bytes(path: Path) -> bytes | None:
    if not path.is_file() or path.is_symlink() or path.stat().st_size > MAX_BYTES:
        return None
    return path.read_bytes()


def _json(path: Path) -> Any:
    data = _bytes(path)
    try:
        return None if data is None else msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
