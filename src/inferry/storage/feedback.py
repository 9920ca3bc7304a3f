"""Captures and truths: rows in bulk, joined by the request's id and the endpoint.

Data flow: captures of a second -> those that are new are inserted -> truths that had waited for them; items of
feedback -> `policy.feedback` with what is known of each -> rows of truths. Only one process writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, Select, bindparam, delete, func, insert, select, update

from inferry.policy import feedback as policy
from inferry.storage.base import Base
from inferry.storage.chunks import chunks
from inferry.storage.experiments import expose, note_outcomes
from inferry.storage.rows import to_text
from inferry.storage.tables import captures, truths
from inferry.types.feedback import Capture, FeedbackItem, FeedbackResult, Joined, Label, Prediction, Truth

Key = tuple[str, str]

_PREDICTIONS = msgspec.json.Decoder(tuple[Prediction, ...])
_TRUTH: msgspec.json.Decoder[Label | list[Label | None] | None] = msgspec.json.Decoder(
    Label | list[Label | None] | None
)
_CAPTURES = select(captures).where(captures.c.request.in_(bindparam("ids", expanding=True)))
_TRUTHS = select(truths).where(truths.c.request.in_(bindparam("ids", expanding=True)))
_METRICS = msgspec.json.Decoder(dict[str, float])


class Feedback(Base):
    """interfaces.feedback.FeedbackStore."""

    def add_captures(self, captures: Sequence[Capture], now: float) -> tuple[list[Capture], list[Joined]]:
        """Those that are new, and those that truths had been waiting for."""
        with self._writing() as connection:
            return _add_captures(connection, captures, now)

    def add_truths(
        self, items: Sequence[FeedbackItem], endpoints: Sequence[str], now: float
    ) -> tuple[list[FeedbackResult], list[Joined]]:
        """What became of each item, and the predictions that met their truth for the first time."""
        with self._writing() as connection:
            return _add_truths(connection, items, endpoints, now)

    def joined(self, endpoint: str, since: float, most: int) -> list[Joined]:
        """Predictions that have a truth, oldest first."""
        same = (captures.c.request == truths.c.request) & (captures.c.endpoint == truths.c.endpoint)
        query = (
            select(captures, *(column.label(f"truth_{column.name}") for column in truths.c))
            .join(truths, same)
            .where(captures.c.endpoint == endpoint, captures.c.at >= since)
            .order_by(captures.c.at.desc())
            .limit(most)
        )
        with self._reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [Joined(capture=_capture(row), truth=_truth(row, "truth_")) for row in reversed(rows)]

    def captures(self, endpoint: str, revision: int, before: float, most: int) -> list[Capture]:
        """What a revision answered, oldest first."""
        query = (
            select(captures)
            .where(captures.c.endpoint == endpoint, captures.c.revision == revision, captures.c.at < before)
            .order_by(captures.c.at.desc())
            .limit(most)
        )
        with self._reading() as connection:
            return [_capture(row) for row in reversed(connection.execute(query).mappings().all())]

    def captured(self, endpoint: str, since: float) -> dict[int, int]:
        """Counts by version."""
        query = (
            select(captures.c.version, func.count())
            .where(captures.c.endpoint == endpoint, captures.c.at >= since)
            .group_by(captures.c.version)
        )
        with self._reading() as connection:
            return {int(version): int(count) for version, count in connection.execute(query)}

    def forget_old(self, before: float, most: int) -> int:
        """The old, and what is over the bound of each endpoint."""
        with self._writing() as connection:
            gone = connection.execute(delete(captures).where(captures.c.at < before)).rowcount
            gone += connection.execute(delete(truths).where(truths.c.received < before)).rowcount
            for table, moment in ((captures, captures.c.at), (truths, truths.c.received)):
                counts = select(table.c.endpoint, func.count()).group_by(table.c.endpoint)
                for endpoint, count in connection.execute(counts).all():
                    if count > most:
                        its = table.c.endpoint == endpoint
                        edge = select(moment).where(its).order_by(moment.desc()).offset(most).limit(1)
                        oldest = connection.execute(edge).scalar_one()
                        gone += connection.execute(delete(table).where(its, moment <= oldest)).rowcount
        return int(gone)


def forget_feedback(connection: Connection, endpoint: str) -> None:
    """Remove all that is kept of an endpoint."""
    for table in (captures, truths):
        connection.execute(delete(table).where(table.c.endpoint == endpoint))


def _add_captures(connection: Connection, given: Sequence[Capture], now: float) -> tuple[list[Capture], list[Joined]]:
    ids = {one.request for one in given}
    known = {(row["request"], row["endpoint"]) for row in _with_ids(connection, _CAPTURES, ids)}
    new: dict[Key, Capture] = {}
    for one in given:
        key = one.request, one.endpoint
        if key not in known:
            new.setdefault(key, one)
    if not new:
        return [], []
    connection.execute(insert(captures), [_capture_row(one) for one in new.values()])
    expose(connection, list(new.values()))
    met = []
    for row in _with_ids(connection, _TRUTHS, ids):
        capture = new.get((row["request"], row["endpoint"]))
        if capture is not None and not row["matched"]:
            truth = msgspec.structs.replace(_truth(row), matched=now)
            met.append(Joined(capture=capture, truth=truth))
            _change(connection, truth)
    note_outcomes(connection, met)
    return list(new.values()), met


def _add_truths(
    connection: Connection, items: Sequence[FeedbackItem], endpoints: Sequence[str], now: float
) -> tuple[list[FeedbackResult], list[Joined]]:
    ids = {item.request_id for item in items}
    answered: defaultdict[str, list[Capture]] = defaultdict(list)
    for row in _with_ids(connection, _CAPTURES, ids):
        answered[row["request"]].append(_capture(row))
    said: defaultdict[str, dict[str, Truth]] = defaultdict(dict)
    for row in _with_ids(connection, _TRUTHS, ids):
        said[row["request"]][row["endpoint"]] = _truth(row)
    stored = {(request, endpoint) for request, by in said.items() for endpoint in by}
    results: list[FeedbackResult] = []
    joined: list[Joined] = []
    met: list[Joined] = []
    changed: dict[Key, Truth] = {}
    for item in items:
        id = item.request_id
        result, truth = policy.settle(item, answered[id], said[id], endpoints, now)
        results.append(result)
        if truth is None:
            continue
        before = said[id].get(truth.endpoint)
        said[id][truth.endpoint] = truth
        changed[id, truth.endpoint] = truth
        capture = next((one for one in answered[id] if one.endpoint == truth.endpoint), None)
        if capture is not None:
            joined.append(Joined(capture=capture, truth=truth))
            if not (before and before.matched):
                met.append(joined[-1])
    fresh = [truth for key, truth in changed.items() if key not in stored]
    if fresh:
        connection.execute(insert(truths), [_truth_row(truth) for truth in fresh])
    for key, truth in changed.items():
        if key in stored:
            _change(connection, truth)
    note_outcomes(connection, joined)
    return results, met


def _change(connection: Connection, truth: Truth) -> None:
    this = (truths.c.request == truth.request) & (truths.c.endpoint == truth.endpoint)
    connection.execute(update(truths).where(this).values(_truth_row(truth)))


def _with_ids(connection: Connection, query: Select[Any], ids: Iterable[str]) -> Iterator[RowMapping]:
    """All rows of these requests, whichever endpoint answered."""
    for chunk in chunks(sorted(ids)):
        yield from connection.execute(query, {"ids": chunk}).mappings().all()


def _capture_row(capture: Capture) -> dict[str, Any]:
    return {
        "request": capture.request,
        "endpoint": capture.endpoint,
        "model": capture.model,
        "version": capture.version,
        "revision": capture.revision,
        "at": capture.at,
        "key": capture.key,
        "predictions": to_text(capture.predictions),
    }


def _capture(row: RowMapping) -> Capture:
    return Capture(
        request=row["request"],
        endpoint=row["endpoint"],
        model=row["model"],
        version=row["version"],
        revision=row["revision"],
        at=row["at"],
        key=row["key"],
        predictions=_PREDICTIONS.decode(row["predictions"]),
    )


def _truth_row(truth: Truth) -> dict[str, Any]:
    return {
        "request": truth.request,
        "endpoint": truth.endpoint,
        "truth": to_text(truth.truth),
        "metrics": to_text(truth.values),
        "at": truth.at,
        "received": truth.received,
        "matched": truth.matched,
    }


def _truth(row: RowMapping, prefix: str = "") -> Truth:
    return Truth(
        request=row[f"{prefix}request"],
        endpoint=row[f"{prefix}endpoint"],
        truth=_TRUTH.decode(row[f"{prefix}truth"]),
        values=_METRICS.decode(row[f"{prefix}metrics"]),
        at=row[f"{prefix}at"],
        received=row[f"{prefix}received"],
        matched=row[f"{prefix}matched"],
    )
