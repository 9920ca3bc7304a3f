"""Flows of feedback: what turned out to be true, and how right each version was.

Data flow: items, in parts that the server takes -> POST /feedback at the inference listener -> what became of each.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from inferry.client.answers import FeedbackAnswer
from inferry.client.session import Session, endpoint_path, get, inference_address
from inferry.client.wire import Flow, Request, read, send
from inferry.types.feedback import FeedbackItem
from inferry.types.names import check_name
from inferry.types.quality import Quality

PART = 2000
"""Items of one request."""

Item = FeedbackItem | Mapping[str, Any]


def feedback(session: Session, items: Item | Iterable[Item], *, endpoint: str = "") -> Flow[FeedbackAnswer]:
    """Say what turned out to be true of predictions, by the ids of their requests.

    An item is `{"request_id": ..., "truth": ...}`: a label or a number, a list of them for a request of several rows;
    `values` are metrics by name, `at` is when it became true. What is sent twice counts once. `endpoint`: of the items
    that name none; needed for ids that no kept prediction has yet.
    """
    listed = [items] if isinstance(items, (FeedbackItem, Mapping)) else list(items)
    address = yield from inference_address(session)
    query = f"?{urlencode({'endpoint': check_name(endpoint, 'endpoint name')})}" if endpoint else ""
    total = FeedbackAnswer()
    for start in range(0, len(listed), PART):
        request = Request(
            method="POST",
            url=f"{address}/feedback{query}",
            headers={**session.headers, "content-type": "application/json"},
            body=msgspec.json.encode(listed[start : start + PART]),
            timeout=session.timeout,
            repeatable=True,
        )
        total = total.plus(read((yield from send(request, session.retries)), FeedbackAnswer))
    return total


def quality(session: Session, endpoint: str, *, since_s: float = 7 * 86_400.0) -> Flow[Quality]:
    """How right each version was, by the truth of predictions made in the last `since_s` seconds."""
    since = max(0.0, time.time() - since_s)
    return (yield from get(session, f"{endpoint_path(endpoint)}/quality?since={since:.3f}", Quality))
