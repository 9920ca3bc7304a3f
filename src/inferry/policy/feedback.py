"""Feedback: what becomes of one item. Pure.

Data flow: an item, the answers known under its id, what was said of it before -> `settle` -> a result, and the
truth to keep when that is news.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from inferry.types.feedback import MAX_ROWS, Capture, FeedbackItem, FeedbackResult, Label, Truth

MAX_ID = 128
MAX_VALUES = 32
MAX_TEXT = 500

Settled = tuple[FeedbackResult, Truth | None]


def fault(item: FeedbackItem) -> str:
    """What is wrong with an item by itself, "" when nothing is."""
    if not 0 < len(item.request_id) <= MAX_ID:
        return f"request_id: give the 1 to {MAX_ID} characters of the header inferry-request-id."
    if item.truth is None and not item.values:
        return "Neither truth nor values: say what turned out to be true."
    if len(item.values) > MAX_VALUES or any(not 0 < len(name) <= 63 for name in item.values):
        return f"values: at most {MAX_VALUES}, with names of 1 to 63 characters."
    truths = item.truth if isinstance(item.truth, list) else [item.truth]
    numbers: list[float] = [*item.values.values(), *(one for one in truths if isinstance(one, float))]
    if not all(map(math.isfinite, numbers)) or (item.at is not None and not math.isfinite(item.at)):
        return "A number is not finite."
    if any(isinstance(one, str) and len(one) > MAX_TEXT for one in truths):
        return f"truth: a label has at most {MAX_TEXT} characters."
    return ""


def settle(
    item: FeedbackItem,
    captures: Sequence[Capture],
    known: Mapping[str, Truth],
    endpoints: Sequence[str],
    now: float,
) -> Settled:
    """What becomes of a sound item. `captures`: all with its id; `known`: truths of that id by endpoint; `endpoints`:
    those it may be about, "*" for all."""
    open_to_all = "*" in endpoints
    if item.endpoint and not open_to_all and item.endpoint not in endpoints:
        return _refused(item, "This key may not give feedback for this endpoint."), None
    fitting = [
        one
        for one in captures
        if (one.endpoint == item.endpoint if item.endpoint else open_to_all or one.endpoint in endpoints)
    ]
    if len(fitting) > 1:
        names = ", ".join(sorted(one.endpoint for one in fitting))
        return _refused(item, f"Several endpoints answered a request of this id: {names}. Name one in endpoint."), None
    lone = endpoints[0] if len(endpoints) == 1 and not open_to_all else ""
    endpoint = fitting[0].endpoint if fitting else item.endpoint or lone
    if not endpoint:
        why = "No prediction of this id is known. Name its endpoint to keep it until there is one."
        return _refused(item, why), None
    capture = fitting[0] if fitting else None
    rows = len(capture.predictions) if capture else 0
    told = len(item.truth) if isinstance(item.truth, list) else 1
    if item.truth is not None and 0 < rows < MAX_ROWS and told != rows:
        why = f"The request had {rows} rows, and this is the truth of {told}. Give a list with one for each, or null."
        return _refused(item, why), None
    return _compare(item, endpoint, capture, known.get(endpoint), now)


def _compare(item: FeedbackItem, endpoint: str, capture: Capture | None, before: Truth | None, now: float) -> Settled:
    at = now if item.at is None else item.at
    late = None if capture is None else round(at - capture.at, 3)
    status = "waiting" if capture is None else "matched"
    truth = Truth(
        endpoint=endpoint, request=item.request_id, truth=item.truth, values=item.values, at=at, received=now,
        matched=0.0 if capture is None else now,
    )  # fmt: skip
    if before is None:
        return _result(item, endpoint, status, late), truth
    merged = {**before.values, **item.values}
    said = before.truth if item.truth is None else item.truth
    if _same(said, before.truth) and merged == before.values:
        return _result(item, endpoint, "repeated", late), None
    truth = Truth(
        endpoint=endpoint, request=item.request_id, truth=said, values=merged, at=at, received=now,
        matched=before.matched or truth.matched,
    )  # fmt: skip
    changed = before.truth is not None and not _same(said, before.truth)
    changed = changed or any(before.values[name] != merged[name] for name in before.values)
    if not changed:
        return _result(item, endpoint, status, late), truth
    old = before.truth if before.truth is not None else before.values
    return (
        FeedbackResult(
            request_id=item.request_id, status="replaced", endpoint=endpoint, before=old, late_s=late
        ),
        truth,
    )  # fmt: skip


def _same(one: Label | list[Label | None] | None, other: Label | list[Label | None] | None) -> bool:
    """Whether two truths are the same; True is not 1 here, but 1.0 is."""
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _result(item: FeedbackItem, endpoint: str, status: str, late: float | None) -> FeedbackResult:
    return FeedbackResult(request_id=item.request_id, status=status, endpoint=endpoint, late_s=late)  # type: ignore[arg-type]


def _refused(item: FeedbackItem, why: str) -> FeedbackResult:
    return FeedbackResult(request_id=item.request_id, status="refused", endpoint=item.endpoint, error=why)
