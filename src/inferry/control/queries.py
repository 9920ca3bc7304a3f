"""Queries: numbers from outside that a rollout looks at, from Prometheus or any HTTP address.

Data flow: a check's address with $ENDPOINT, $REVISION and $VERSION filled in -> GET -> the number in its JSON: of a
Prometheus answer the first sample, else the number itself or the field `value`. What fails is left out: missing
data decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
from string import Template
from typing import TYPE_CHECKING, Any

from inferry.later import Later
from inferry.types.analysis import Query
from inferry.types.registry import Revision
from inferry.types.rollout import Strategy

if TYPE_CHECKING:
    import httpx
else:
    httpx = Later("httpx")

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0
MAX_ANSWER = 1 << 20


async def ask(strategy: Strategy, revisions: tuple[Revision, Revision]) -> dict[int, dict[str, float]]:
    """The values of all queries of a strategy, by revision and query."""
    queries = sorted({check.query for check in strategy.checks if isinstance(check, Query)})
    found: dict[int, dict[str, float]] = {revision.number: {} for revision in revisions}
    if not queries:
        return found
    async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:

        async def one(query: str, revision: Revision) -> None:
            value = await _value(client, fill_in(query, revision))
            if value is not None:
                found[revision.number][query] = value

        await asyncio.gather(*(one(query, revision) for query in queries for revision in revisions))
    return found


def fill_in(query: str, revision: Revision) -> str:
    """An address for one revision."""
    return Template(query).safe_substitute(
        ENDPOINT=revision.endpoint, REVISION=revision.number, VERSION=revision.version
    )


async def _value(client: httpx.AsyncClient, url: str) -> float | None:
    try:
        answer = await client.get(url)
        answer.raise_for_status()
        return number_in(answer.json())
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        log.warning("a rollout's query got no number: %s", error)
        return None


def number_in(document: Any) -> float:
    """The number of an answer. Raises ValueError when there is none."""
    value = document
    if isinstance(document, dict):
        value = document.get("value")
        data = document.get("data")
        if isinstance(data, dict):  # Prometheus: {"data": {"result": [{"value": [when, "1.5"]}]}}
            samples = data.get("result")
            first = samples[0] if isinstance(samples, list) and samples else None
            pair = first.get("value") if isinstance(first, dict) else samples
            value = pair[1] if isinstance(pair, list) and len(pair) == 2 else None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("the answer has no number")
    found = float(value)
    if not math.isfinite(found):
        raise ValueError("the answer's number is not finite")
    return found
