"""Scorer: rows -> predictions, by requests that ride on spare capacity; a row that is refused fails alone.

Data flow: Rows -> a body -> the gateway -> cells by column. A request that is refused is halved, until the rows at
fault stand alone with their errors. What nobody can answer now is asked again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from inferry.client.batch.columns import Column, decode, encode
from inferry.client.batch.sink import Cells
from inferry.client.batch.source import Rows
from inferry.client.session import Session, inference_address
from inferry.client.transport import SyncTransport
from inferry.client.wire import Flow, Request, Response, send
from inferry.errors import InferryError, InvalidInput, Overloaded, ReplicaLost, Unauthorized, Unavailable
from inferry.policy.spare import read_timing
from inferry.types.signature import Signature

GRACE_S = 5.0
PATIENCE_S = 900.0
LONGEST_S = 10.0
ROW_FAULTS = (400, 413, 415, 422, 500, 504)
MOST_LOSSES = 3


@dataclass
class Timing:
    """Of the largest request of a chunk: its rows and bytes, seconds in the gateway, seconds of them computed."""

    rows: int = 0
    bytes: int = 0
    total_s: float = 0.0
    computed_s: float = 0.0
    refused: float = -1.0  # seconds to wait that a refusal named


@dataclass
class Scored:
    """Predictions of rows that follow each other: of each column its pieces."""

    cells: Cells
    errors: list[str | None]
    timing: Timing = field(default_factory=Timing)
    version: str = ""


class Scorer:
    """Asks one endpoint. Used by several threads."""

    def __init__(
        self, session: Session, transport: SyncTransport, endpoint: str, signature: Signature,
        columns: tuple[Column, ...], timeout_s: float, *, fail_fast: bool,
    ) -> None:  # fmt: skip
        self._session = session
        self._transport = transport
        self._endpoint = endpoint
        self._signature = signature
        self._columns = columns
        self._timeout_s = timeout_s
        self._fail_fast = fail_fast

    def score(self, rows: Rows) -> Scored:
        """All of them, in order. Raises what fails all rows, and with `fail_fast` what fails one."""
        scored = Scored([[] for _ in self._columns], [])
        self._into(rows, scored, 0)
        return scored

    def _into(self, rows: Rows, scored: Scored, losses: int) -> None:
        if rows.bad:
            for start, stop in between(rows):
                if stop - start == 1 and start in rows.bad:
                    self._failed(scored, InvalidInput(rows.bad[start]))
                else:
                    self._into(rows.part(start, stop), scored, losses)
            return
        try:
            body = encode(self._endpoint, rows, self._signature)
            request = (body.path, body.content, body.headers)
            response = self._patiently(request, rows.size, scored)
            json_size = int(response.headers.get("inference-header-content-length", 0))
            cells = decode(response.body, json_size, rows.size, self._columns, self._signature)
        except InferryError as error:
            lost = isinstance(error, ReplicaLost)
            if not lost and error.status not in ROW_FAULTS:
                raise
            if rows.size > 1:
                middle = rows.size // 2
                self._into(rows.part(0, middle), scored, losses)
                self._into(rows.part(middle, rows.size), scored, losses)
            elif lost and losses < MOST_LOSSES:
                self._into(rows, scored, losses + 1)
            else:
                self._failed(scored, error)
            return
        for column, more in zip(scored.cells, cells, strict=True):
            column.append(more)
        scored.errors += [None] * rows.size
        scored.version = response.headers.get("inferry-version", scored.version)

    def _failed(self, scored: Scored, error: InferryError) -> None:
        if self._fail_fast:
            raise error
        for column in scored.cells:
            column.append([None])
        scored.errors.append(f"{error.code}: {error.message}")

    def _patiently(self, request: tuple[str, bytes, dict[str, str]], rows: int, scored: Scored) -> Response:
        """The answer, as soon as somebody can give it."""
        until, pause = time.monotonic() + PATIENCE_S, 0.2
        while True:
            try:
                response = self._transport.run(_ask(self._session, *request, timeout=self._timeout_s))
            except ReplicaLost:
                raise
            except (Unavailable, Overloaded, Unauthorized) as error:
                if isinstance(error, Unauthorized) or time.monotonic() > until:
                    raise
                wait = min(LONGEST_S, max(pause, error.retry_after or 0.0))
                scored.timing.refused = wait if isinstance(error, Overloaded) else scored.timing.refused
                time.sleep(wait)
                pause *= 2
                continue
            if rows > scored.timing.rows:
                total, computed = read_timing(response.headers.get("server-timing", ""))
                refused = scored.timing.refused
                scored.timing = Timing(rows, len(request[1]), total, computed, refused)
            return response


def between(rows: Rows) -> list[tuple[int, int]]:
    """Stretches of good rows, and each bad one by itself."""
    found: list[tuple[int, int]] = []
    at = 0
    for place in sorted(rows.bad):
        if place > at:
            found.append((at, place))
        found.append((place, place + 1))
        at = place + 1
    if at < rows.size:
        found.append((at, rows.size))
    return found


def _ask(session: Session, path: str, content: bytes, headers: dict[str, str], *, timeout: float) -> Flow[Response]:
    address = yield from inference_address(session)
    request = Request(
        method="POST",
        url=address + path,
        headers={**session.headers, **headers, "inferry-timing": "1"},
        body=content,
        timeout=timeout + GRACE_S,
        repeatable=True,
    )
    return (yield from send(request, 0))
