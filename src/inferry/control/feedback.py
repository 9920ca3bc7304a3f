"""Feedback: keeps answers and what turned out to be true of them, and says how right each version was.

Data flow: the gateway's batches -> predictions read out of them -> the store -> what is new, kept in memory for
those who watch (rollouts); a body of POST /feedback -> items -> the store -> what became of each. Reports are
made from the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from inferry.control.background import in_background
from inferry.control.inputs import Inputs
from inferry.errors import InferryError, InternalError, InvalidInput, NotFound
from inferry.interfaces.feedback import FeedbackStore
from inferry.interfaces.store import MetadataStore
from inferry.policy import feedback as policy
from inferry.policy import quality
from inferry.types.feedback import (
    Capture,
    CaptureBatch,
    Captured,
    FeedbackAsk,
    FeedbackItem,
    FeedbackResult,
    FeedbackTold,
    Joined,
    Prediction,
)
from inferry.types.quality import Quality
from inferry.types.signature import Signature

log = logging.getLogger(__name__)

MAX_ITEMS = 10_000
MAX_JOINED = 200_000
WATCHED = 6000  # more than the answers between two looks of a rollout
LATELY = 1000
DAY_S = 86_400.0
KEPT_DAYS = 30.0
KEPT_ROWS = 1_000_000
CLEAN_S = 3600.0
HELP = 'Send {"request_id": "...", "truth": ...}, a list of such objects, or one on each line.'

Glimpse = Callable[[Captured, Signature], tuple[str, tuple[Prediction, ...]]]


class Watched:
    """What came lately for one endpoint, each with its number."""

    def __init__(self) -> None:
        self.answers: deque[tuple[int, Capture]] = deque(maxlen=WATCHED)
        self.truths: deque[tuple[int, Joined]] = deque(maxlen=WATCHED)


class Feedback:
    """The only writer of captures and truths. `glimpse`: reads an answer; `inputs`: keeps what was asked."""

    def __init__(
        self, store: MetadataStore, kept: FeedbackStore, glimpse: Glimpse, clock: Callable[[], float], inputs: Inputs
    ) -> None:
        self._store = store
        self.inputs = inputs
        self._kept = kept
        self._glimpse = glimpse
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[str, Signature]] = {}
        self._watched: defaultdict[str, Watched] = defaultdict(Watched)
        self._number = 0

    # what comes

    async def keep(self, batch: CaptureBatch) -> None:
        """Answers that are on disk when this returns. Raises what the store raises."""
        now = self._clock()
        new, met = await in_background(self._write, batch.answers, now)
        self._watch(new, met)

    def _write(self, answers: Sequence[Captured], now: float) -> tuple[list[Capture], list[Joined]]:
        answers = [answer for answer in answers if not self.inputs.is_ours(answer)]
        self.inputs.keep(answers)
        read = [capture for answer in answers if (capture := self._read(answer)) is not None]
        return self._kept.add_captures(read, now) if read else ([], [])

    def _read(self, answer: Captured) -> Capture | None:
        """What was predicted; None when its endpoint is gone."""
        known = self._known.get((answer.endpoint, answer.revision))
        if known is None:
            try:
                found = {revision.number: revision for revision in self._store.revisions(answer.endpoint)}
                revision = found[answer.revision]
                version = self._store.version(revision.model, revision.version)
            except (NotFound, KeyError):
                return None
            known = self._known[answer.endpoint, answer.revision] = (revision.model, version.manifest.signature)
        model, signature = known
        id, predictions = self._glimpse(answer, signature)
        return Capture(
            endpoint=answer.endpoint, request=id[: policy.MAX_ID], model=model, version=answer.version,
            revision=answer.revision, at=answer.at, key=answer.key, predictions=predictions,
        )  # fmt: skip

    async def hear(self, ask: FeedbackAsk) -> FeedbackTold:
        """What to answer to a body of feedback."""
        try:
            items = read_items(ask.body, ask.endpoint)
            answer = await self.take(items, ask.endpoints)
        except Exception as found:
            error = found if isinstance(found, InferryError) else InternalError("The feedback could not be kept.")
            if error is not found:
                log.exception("feedback could not be kept")
            said = {"code": error.code, "message": error.message, "help": error.help}
            body = msgspec.json.encode({"error": {name: text for name, text in said.items() if text}})
            return FeedbackTold(number=ask.number, status=error.status, body=body, retry_after=error.retry_after)
        return FeedbackTold(number=ask.number, status=200, body=msgspec.json.encode(answer))

    async def take(self, items: Sequence[FeedbackItem | str], endpoints: Sequence[str]) -> dict[str, Any]:
        """What became of each item; an item that is text is one that could not be read, and why."""
        results: list[FeedbackResult | None] = []
        sound: list[FeedbackItem] = []
        for item in items:
            id, wrong = ("", item) if isinstance(item, str) else (item.request_id, policy.fault(item))
            if wrong:
                results.append(FeedbackResult(request_id=id[: policy.MAX_ID], status="refused", error=wrong))
            else:
                assert isinstance(item, FeedbackItem)
                results.append(None)
                sound.append(item)
        settled: list[FeedbackResult] = []
        if sound:
            settled, met = await asyncio.to_thread(self._kept.add_truths, sound, endpoints, self._clock())
            self._watch([], met)
        rest = iter(settled)
        told = [result or next(rest) for result in results]
        counts: dict[str, Any] = dict.fromkeys(("matched", "waiting", "repeated", "replaced", "refused"), 0)
        for one in told:
            counts[one.status] += 1
        return counts | {"items": told}

    # who watches

    def _watch(self, new: Sequence[Capture], met: Sequence[Joined]) -> None:
        for capture in new:
            self._number += 1
            self._watched[capture.endpoint].answers.append((self._number, capture))
        for joined in met:
            self._number += 1
            self._watched[joined.capture.endpoint].truths.append((self._number, joined))

    @property
    def number(self) -> int:
        """Of the last that came."""
        return self._number

    def since(self, endpoint: str, number: int) -> tuple[list[Capture], list[Joined]]:
        """Answers and truths of an endpoint that came behind a number."""
        watched = self._watched.get(endpoint)
        if watched is None:
            return [], []
        return (
            [capture for at, capture in watched.answers if at > number],
            [joined for at, joined in watched.truths if at > number],
        )

    def lately(self, endpoint: str, revision: int) -> list[Prediction]:
        """What a revision answered lately: one row of each request."""
        found = self._kept.captures(endpoint, revision, self._clock(), LATELY)
        return [capture.predictions[0] for capture in found if capture.predictions]

    # reports

    def quality(self, endpoint: str, since: float) -> Quality:
        """How right each version was, by predictions made since then."""
        self._store.endpoint(endpoint)
        joined = self._kept.joined(endpoint, since, MAX_JOINED)
        captured = self._kept.captured(endpoint, since)
        by_version: defaultdict[int, list[Joined]] = defaultdict(list)
        for one in joined:
            by_version[one.capture.version].append(one)
        versions = tuple(
            quality.measure(version, by_version[version], captured.get(version, 0))
            for version in sorted({*captured, *by_version})
        )
        return Quality(endpoint=endpoint, since=since, versions=versions, cut=len(joined) == MAX_JOINED)

    async def run(self) -> None:
        """Forget what is old, for ever."""
        while True:
            try:
                gone = await asyncio.to_thread(self._kept.forget_old, self._clock() - KEPT_DAYS * DAY_S, KEPT_ROWS)
                if gone:
                    log.info("forgot %d old captures and truths", gone)
            except Exception:
                log.exception("forgetting old captures failed; trying again")
            await asyncio.sleep(CLEAN_S)


def read_items(body: bytes, endpoint: str) -> list[FeedbackItem | str]:
    """The items of a body; those that cannot be read are text that says why. Raises InvalidInput when the body as a
    whole says nothing."""
    raw = read_json(body)
    if not raw:
        raise InvalidInput("The body holds no feedback.", help=HELP)
    if len(raw) > MAX_ITEMS:
        raise InvalidInput(f"The body holds {len(raw)} items, over {MAX_ITEMS}.", help="Send several bodies.")
    items: list[FeedbackItem | str] = []
    for value in raw:
        try:
            item = msgspec.convert(value, FeedbackItem)
        except msgspec.ValidationError as error:
            items.append(f"{error}.")
        else:
            items.append(item if item.endpoint or not endpoint else msgspec.structs.replace(item, endpoint=endpoint))
    return items


def read_json(body: bytes) -> list[Any]:
    """An object, a list, or an object on each line."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) < 2:
            raise InvalidInput("The body is not JSON.", help=HELP) from None
        values = []
        for number, line in enumerate(lines, 1):
            try:
                values.append(msgspec.json.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise InvalidInput(f"Line {number} of the body is not JSON.", help=HELP) from None
        return values
    return value if isinstance(value, list) else [value]
