"""Glimpse: what a model predicted, read out of an answer that was sent through any door.

Data flow: an answer's bytes -> JSON rows, or named arrays -> rows of a few values -> one Prediction a row: a class
with its scores, or a number. An answer that says neither (text, pictures, embeddings) gives none; it is never an error.
What needs numpy is imported with the first answer of arrays: control, which runs this, is spared it by plain JSON.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from inferry.errors import InferryError
from inferry.types import frames
from inferry.types.feedback import MAX_ROWS, MAX_SCORES, Captured, Label, Prediction, label_text
from inferry.types.signature import Signature

MAX_CLASSES = 1000
SURE = 0.02
"""How far scores may be from summing to 1 and still be shares."""

Rows = list[Any]
_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def glimpse(answer: Captured, signature: Signature) -> tuple[str, tuple[Prediction, ...]]:
    """The request's id, which a door may have of its own, and the predictions of its first rows."""
    if not answer.body:
        return answer.id, ()
    try:
        id, rows = _read(answer, signature)
        found = tuple(_row(row, signature) for row in rows[:MAX_ROWS])
    except (InferryError, ValueError, TypeError, LookupError, RecursionError, OverflowError):
        return answer.id, ()  # a model's own process says what it likes
    return id or answer.id, found if any(one != Prediction() for one in found) else ()


def _read(answer: Captured, signature: Signature) -> tuple[str, Rows]:
    """An id of the door's own, and the rows, each a value or values by name."""
    body = answer.body
    if answer.content in (frames.CONTENT_PROTO, frames.CONTENT_BINARY) or answer.door == frames.DOOR_OIP:
        from inferry.protocols import glimpse_arrays

        return glimpse_arrays.read(answer)
    if answer.content != frames.CONTENT_JSON or answer.door in frames.OPENAI:
        return "", []
    said = _parsed(body)
    return "", _json(said, answer.door, signature) if isinstance(said, dict) else []


def _parsed(body: bytes) -> Any:
    """A JSON answer, which may hold NaN."""
    try:
        return _JSON.decode(body)
    except ValueError:  # msgspec's are
        from inferry.protocols import json_nan

        return json_nan.parse(_JSON, body, "")


def _json(said: dict[str, Any], door: int, signature: Signature) -> Rows:
    """The rows of a JSON answer."""
    if door in (frames.DOOR_CLASSIFY, frames.DOOR_REGRESS):
        return [_classified(row) for row in said["results"]]
    rows = said.get("predictions", said.get("outputs"))
    if signature.kind == "open" and not isinstance(rows, list):
        rows = [rows]
    if isinstance(rows, dict):
        from inferry.protocols import glimpse_arrays

        return glimpse_arrays.by_row(rows)
    return rows if isinstance(rows, list) else []


def _classified(row: Any) -> Any:
    """TensorFlow Serving's [[label, score], ...] as scores by label; a number as it is."""
    return {"probabilities": {label_text(label): score for label, score in row}} if isinstance(row, list) else row


# one row


def _row(row: Any, signature: Signature) -> Prediction:
    """What one row predicts."""
    if not isinstance(row, dict):
        return _value(row, ())
    specs = {spec.name: spec for spec in signature.outputs}
    scores: dict[str, float] = {}
    for name, value in row.items():
        labels = specs[name].labels if name in specs else ()
        if labels or name in ("probabilities", "scores"):
            scores = _shares(value, labels)
            break
    if "label" in row:
        label = _label(row["label"])
        share = row.get("score")
        if not scores and label is not None and isinstance(share, float) and 0 <= share <= 1:
            scores = {label_text(label): share}
        return Prediction(label=label, scores=scores)
    if scores:
        return Prediction(label=_likeliest(scores, signature), scores=scores)
    first = next(iter(row.values()), None)
    return _row(first, signature) if isinstance(first, dict) else _value(first, ())


def _likeliest(scores: Mapping[str, float], signature: Signature) -> Label:
    """The class of the largest score, as the model has it where that is known."""
    best = max(scores, key=lambda label: scores[label])
    known = {label_text(label): label for spec in signature.outputs for label in spec.labels}
    return known.get(best, best)


def _value(value: Any, labels: Sequence[Label]) -> Prediction:
    """A class, a number, or scores by place."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, (str, bytes, bool)):
        return Prediction(label=_label(value))
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            return Prediction()
        return Prediction(value=float(value), label=value if isinstance(value, int) else None)
    scores = _shares(value, labels or range(len(value))) if isinstance(value, list) else {}
    return (
        Prediction(label=int(max(scores, key=lambda place: scores[place])), scores=scores) if scores else Prediction()
    )


def _shares(value: Any, labels: Sequence[Label]) -> dict[str, float]:
    """Scores by class, the likeliest ones, when they are shares of 1."""
    if isinstance(value, dict):
        labels, value = list(value), list(value.values())
    if not isinstance(value, list) or len(value) != len(labels) or not 1 < len(value) <= MAX_CLASSES:
        return {}
    if not all(isinstance(score, (int, float)) and 0 <= score <= 1 for score in value):
        return {}
    if abs(math.fsum(value) - 1) > SURE:
        return {}
    best = sorted(heapq.nlargest(MAX_SCORES, range(len(value)), key=value.__getitem__))
    return {label_text(labels[place]): round(float(value[place]), 6) for place in best}


def _label(value: Any) -> Label | None:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value if isinstance(value, (str, int, float, bool)) else None
