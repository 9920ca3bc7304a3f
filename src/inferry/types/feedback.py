"""Feedback: what was predicted, what turned out to be true, and the two joined.

Data flow: the gateway keeps an answer (Captured) -> control reads the predictions out of it (Capture, a row of the
store). Days later a caller says what was true (FeedbackItem -> Truth, another row). Both have the request's id.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Label = str | int | float | bool
MAX_ROWS = 32
"""Rows of one request that are kept."""
MAX_SCORES = 20
"""Classes of one row whose scores are kept, the likeliest."""


class Prediction(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Of one row. `label`: the class, None for a model of numbers; `value`: that number; `scores`: by class, when they
    are shares that sum to 1."""

    label: Label | None = None
    value: float | None = None
    scores: dict[str, float] = {}


class CapturedInput(msgspec.Struct, frozen=True, array_like=True):
    """A request's body as it came, with its content type and what else is needed to read it."""

    media: str
    flags: int
    json_size: int
    body: bytes


class Captured(msgspec.Struct, frozen=True, array_like=True):
    """An answer as the gateway kept it. `key`: the hash of what the request was shared out by; `body`: of the answer,
    empty when it was too large; `input`: what was asked, where that is kept."""

    endpoint: str
    revision: int
    version: int
    id: str
    at: float
    key: str
    door: int
    content: int
    json_size: int
    body: bytes
    input: CapturedInput | None = None


class CaptureBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Gateway -> control: answers, oldest first. Control says the `number` when they are on disk."""

    number: int
    answers: tuple[Captured, ...]


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was answered. `predictions`: one a row, none when they could not be read."""

    endpoint: str
    request: str
    model: str
    version: int
    revision: int
    at: float
    key: str
    predictions: tuple[Prediction, ...] = ()


class FeedbackItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What turned out to be true. `truth`: a label or a number, for a request of several rows a list; `values`: any
    metrics by name (money, clicks); `at`: when it became true (Unix seconds, default now); `endpoint`: needed when
    the id is not known yet, or known at several."""

    request_id: str
    truth: Label | list[Label | None] | None = None
    values: dict[str, float] = {}
    at: float | None = None
    endpoint: str = ""


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """A row of feedback. `received`: when it came last; `matched`: when it first met its prediction, 0 before."""

    endpoint: str
    request: str
    truth: Label | list[Label | None] | None
    values: dict[str, float]
    at: float
    received: float
    matched: float = 0.0


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction with its truth."""

    capture: Capture
    truth: Truth


Status = Literal["matched", "waiting", "repeated", "replaced", "refused"]


class FeedbackResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one item. matched: joined to its prediction; waiting: kept, no prediction of that id is known
    yet; repeated: said before, nothing changed; replaced: another truth stood there (`before`); refused: not kept,
    `error` says why. `late_s`: how long after the prediction."""

    request_id: str
    status: Status
    endpoint: str = ""
    error: str = ""
    before: Any = None
    late_s: float | None = None


class FeedbackAsk(msgspec.Struct, frozen=True, kw_only=True):
    """Gateway -> control: a body of POST /feedback. `endpoints`: those that the key may call, "*" for all."""

    number: int
    body: bytes
    endpoint: str = ""
    endpoints: tuple[str, ...] = ()


class FeedbackTold(msgspec.Struct, frozen=True, kw_only=True):
    """Control -> gateway: what to answer."""

    number: int
    status: int
    body: bytes
    retry_after: float | None = None


def label_text(label: Any) -> str:
    """A class label as an object's key."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return label.decode(errors="replace") if isinstance(label, bytes) else str(label)
