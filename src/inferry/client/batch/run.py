"""Batch: all rows of a file or folder scored, in order, each once in the output, also when it is killed and run again.

Data flow: Source -> chunks, as many at once as the endpoint has capacity to spare -> Scorer -> cells, in the order of
the rows -> parts -> State -> one output file. What is in a finished part is never asked for again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from inferry.client.batch.columns import Column, plan
from inferry.client.batch.scorer import Scored, Scorer
from inferry.client.batch.sink import Cells, check_target, merge, write_part
from inferry.client.batch.source import Source, about, files_in, open_source
from inferry.client.batch.state import Manifest, Part, State, manifest_of
from inferry.client.inference import Handle, metadata
from inferry.client.job_answers import BatchSummary
from inferry.client.session import Session
from inferry.client.transport import SyncTransport
from inferry.errors import InvalidInput
from inferry.policy.spare import FIRST_ROWS, Pace, after_answer, after_refusal, rows_for

MOST_AT_ONCE = 8
PART_S = 2.0
PART_ROWS = 100_000
HOPELESS = 100

Tell = Callable[[int, int, int], None]
"""Rows that are done, how many of them failed, and about how many there are."""


def score_files(
    session: Session, transport: SyncTransport, endpoint: str, source: Path, target: Path, *,
    overwrite: bool = False, fail_fast: bool = False, tell: Tell | None = None,
) -> BatchSummary:  # fmt: skip
    """Score a file into a file, or a folder's files into files of the same names in a folder."""
    begun = time.monotonic()
    handle = Handle(session, endpoint)
    known = transport.run(metadata(handle))
    columns = plan(known.signature)
    pairs = [(one, into(one, source, target)) for one in files_in(source)]
    for _, one in pairs:
        check_target(one)
    total = sum(about(one) for one, _ in pairs) if tell is not None else 0

    def said(rows: int, errors: int) -> None:
        if tell is not None:
            tell(rows, errors, total)

    done = BatchSummary(endpoint=endpoint, input=str(source), output=str(target))
    for one, out in pairs:
        scorer = Scorer(session, transport, endpoint, known.signature, columns, known.timeout_s, fail_fast=fail_fast)
        single = any(spec.shape[:1] == (1,) for spec in known.signature.inputs)
        batch = FileBatch(scorer, columns, one, out, 1 if single else 0, said, done)
        done = batch.run(endpoint, overwrite=overwrite)
    seconds = time.monotonic() - begun
    scored = done.rows - done.resumed
    return msgspec.structs.replace(done, seconds=seconds, rows_per_s=scored / seconds if seconds else 0.0)


def into(one: Path, source: Path, target: Path) -> Path:
    """The output of a file."""
    if one == source:
        return target / one.name if target.is_dir() else target
    if target.exists() and not target.is_dir():
        raise InvalidInput(f"{str(target)!r} is a file, but a folder is scored.", help="Name a folder as the output.")
    return target / one.name


class FileBatch:
    """One file. `at_most`: rows of a request (0: as many as are quick). `before`: what earlier files came to."""

    def __init__(
        self, scorer: Scorer, columns: tuple[Column, ...], source: Path, target: Path, at_most: int,
        tell: Callable[[int, int], None], before: BatchSummary,
    ) -> None:  # fmt: skip
        self._scorer = scorer
        self._columns = columns
        self._source = source
        self._state = State(target)
        self._tell = tell
        self._before = before
        self._at_most = at_most
        self._rows = min(FIRST_ROWS, at_most or FIRST_ROWS)
        self._pace = Pace(window=2.0)

    def run(self, endpoint: str, *, overwrite: bool) -> BatchSummary:
        """From where it stands to its end."""
        wanted = manifest_of(endpoint, self._source, self._columns)
        there = None if overwrite else self._state.finished(wanted)
        if there is not None:
            return self._summed(there, there.rows)
        manifest = self._state.open(wanted, overwrite=overwrite)
        resumed = manifest.rows
        ended: Manifest | None = None
        try:
            self._tell(self._before.rows + resumed, self._before.errors + manifest.errors)
            if not manifest.whole:
                manifest = self._score(manifest)
            parts = [self._state.part(number) for number in range(len(manifest.parts))]
            merge(parts, self._state.target, self._columns, self._state.folder / "merged")
            ended = manifest
        finally:
            self._state.close(ended)
        return self._summed(manifest, resumed)

    def _score(self, manifest: Manifest) -> Manifest:
        source = open_source(self._source, manifest.rows)
        pool = ThreadPoolExecutor(MOST_AT_ONCE, "batch")
        try:
            return self._parts(source, pool, manifest)
        finally:
            pool.shutdown(cancel_futures=True)
            source.close()

    def _parts(self, source: Source, pool: ThreadPoolExecutor, manifest: Manifest) -> Manifest:
        """Score the rest, part by part."""
        waiting: deque[Future[Scored]] = deque()
        cells: Cells = [[] for _ in self._columns]
        errors: list[str | None] = []
        versions = set(manifest.versions)
        since, more = time.monotonic(), True
        while more or waiting:
            while more and len(waiting) < int(self._pace.window):
                time.sleep(self._pace.pause_s)
                rows = source.take(self._rows)
                more = rows.size > 0
                if more:
                    waiting.append(pool.submit(self._scorer.score, rows))
            if not waiting:
                break
            scored = waiting.popleft().result()
            self._learn(scored)
            for column, found in zip(cells, scored.cells, strict=True):
                column.extend(found)
            errors += scored.errors
            versions |= {scored.version} - {""}
            if not manifest.parts and len(errors) >= HOPELESS and all(errors[:HOPELESS]):
                raise InvalidInput(
                    f"None of the first {HOPELESS} rows could be scored: {errors[0]}",
                    help="Compare the file with what the model takes: inferry describe NAME.",
                )
            if time.monotonic() - since > PART_S or len(errors) >= PART_ROWS:
                manifest = self._keep(manifest, cells, errors, versions, whole=False)
                cells, errors, since = [[] for _ in self._columns], [], time.monotonic()
        return self._keep(manifest, cells, errors, versions, whole=True)

    def _keep(
        self, manifest: Manifest, cells: Cells, errors: list[str | None], versions: set[str], *, whole: bool
    ) -> Manifest:
        """Make what was scored a part."""
        parts = manifest.parts
        if errors or not parts:
            write_part(self._state.part(len(parts)), self._columns, cells, errors)
            parts = (*parts, Part(rows=len(errors), errors=sum(error is not None for error in errors)))
        kept = msgspec.structs.replace(manifest, parts=parts, whole=whole, versions=tuple(sorted(versions)))
        self._state.keep(kept)
        self._tell(self._before.rows + kept.rows, self._before.errors + kept.errors)
        return kept

    def _learn(self, scored: Scored) -> None:
        """How large the next requests are, and how many at once."""
        timing = scored.timing
        if timing.refused >= 0:
            self._pace = after_refusal(self._pace, timing.refused)
        if timing.rows and timing.total_s:
            self._pace = after_answer(self._pace, timing.total_s, timing.computed_s, MOST_AT_ONCE)
            rows = rows_for(self._rows, timing.rows, timing.bytes, timing.computed_s)
            self._rows = min(rows, self._at_most or rows)

    def _summed(self, manifest: Manifest, resumed: int) -> BatchSummary:
        before = self._before
        return msgspec.structs.replace(
            before, rows=before.rows + manifest.rows, errors=before.errors + manifest.errors,
            resumed=before.resumed + resumed, files=before.files + 1,
            versions=tuple(sorted({*before.versions, *manifest.versions})),
        )  # fmt: skip
