"""Class labels of an ONNX classifier whose probabilities are a plain matrix.

Data flow: model file, mapped -> graph nodes and initializers read by hand (no onnx package)
-> the list of labels of the right length that agrees with the answers, else none: a wrong
label is worse than a missing one.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inferry.types.protobuf import BYTES, VARINT, WireError, fields, submessages, text
from inferry.types.signature import Scalar

_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_INPUT, _OPERATOR, _ATTRIBUTE = 1, 4, 5  # of a node
_ATTRIBUTES = {"classlabels_ints", "classlabels_int64s", "classlabels_strings"}
_INT32, _INT64, _STRING = 6, 7, 8


def class_labels(path: Path, label: Any, probabilities: Any) -> tuple[Scalar, ...]:
    """Labels by column of `probabilities`, () when not certain. `label` is the answer beside it."""
    count = probabilities.shape[1]
    answered = [value.item() if isinstance(value, np.generic) else value for value in np.ravel(label)]
    best = np.argmax(probabilities, axis=1)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        found = _found(view, count)
    for labels in found:
        if [labels[at] for at in best] == answered:
            return labels
    # Sorted whole numbers that start at 0 and end at count - 1 can only be the range.
    if {(0, 0), (count - 1, count - 1)} <= set(zip(best.tolist(), answered, strict=True)):
        return tuple(range(count))
    return ()


def _found(model: memoryview, count: int) -> list[tuple[Scalar, ...]]:
    try:
        return [labels for labels in _candidates(model) if len(labels) == count]
    except WireError:
        return []


def _candidates(model: memoryview) -> Iterator[tuple[Scalar, ...]]:
    """A classifier's class list: an attribute of its node, or what an ArrayFeatureExtractor picks from."""
    for graph in submessages(model, _GRAPH):
        tensors = {_name(tensor): tensor for tensor in submessages(graph, _INITIALIZER)}
        nodes = list(submessages(graph, _NODE))
        for node in reversed(nodes):  # the classifier is near the end, and wins over earlier encoders
            for attribute in submessages(node, _ATTRIBUTE):
                yield from _from_attribute(attribute)
            operator = "".join(map(text, submessages(node, _OPERATOR)))
            source = next(map(text, submessages(node, _INPUT)), "")
            if operator == "ArrayFeatureExtractor" and source in tensors:
                yield from _from_initializer(tensors[source])


def _name(tensor: memoryview) -> str:
    return "".join(map(text, submessages(tensor, 8)))


def _from_attribute(attribute: memoryview) -> Iterator[tuple[Scalar, ...]]:
    name, ints, strings = "", [], []
    for number, wire, value in fields(attribute):
        if number == 1 and isinstance(value, memoryview):
            name = text(value)
            if name not in _ATTRIBUTES:
                return
        elif number == 8:
            ints += _integers(wire, value)
        elif number == 9 and isinstance(value, memoryview):
            strings.append(text(value))
    if name in _ATTRIBUTES and (ints or strings):
        yield tuple(ints or strings)


def _from_initializer(tensor: memoryview) -> Iterator[tuple[Scalar, ...]]:
    """TensorProto: 2 data_type, 5 int32_data, 6 string_data, 7 int64_data, 9 raw_data."""
    kind, ints, strings, raw = 0, [], [], b""
    for number, wire, value in fields(tensor):
        if number == 2 and isinstance(value, int):
            kind = value
            if kind not in {_INT32, _INT64, _STRING}:
                return
        elif number in {5, 7}:
            ints += _integers(wire, value)
        elif number == 6 and isinstance(value, memoryview):
            strings.append(text(value))
        elif number == 9 and isinstance(value, memoryview) and len(value) < 1 << 20:
            raw = bytes(value)
    if raw and kind in {_INT32, _INT64}:
        ints = np.frombuffer(raw, dtype="<i4" if kind == _INT32 else "<i8").tolist()
    if ints or strings:
        yield tuple(ints or strings)


def _integers(wire: int, value: int | memoryview) -> list[int]:
    """One varint, or a packed run of them, as signed 64-bit numbers."""
    if wire == VARINT and isinstance(value, int):
        return [_signed(value)]
    if wire == BYTES and isinstance(value, memoryview):
        numbers, current, shift = [], 0, 0
        for byte in value:
            current |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                numbers.append(_signed(current))
                current = shift = 0
        return numbers
    return []


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
