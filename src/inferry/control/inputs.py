"""Inputs: requests that endpoints keep, and what came of sending them again.

Data flow: the gateway's batches -> the inputs in them -> the store, bounded. A wish to replay -> the latest of them ->
each to a revision, and to the one that serves, through the gateway like any request -> answers compared -> a report.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inferry.errors import Conflict
from inferry.interfaces.inputs import InputStore
from inferry.interfaces.store import MetadataStore
from inferry.later import Later
from inferry.policy import compare
from inferry.policy import replay as policy
from inferry.types import frames
from inferry.types.feedback import Captured
from inferry.types.names import version_reference
from inferry.types.registry import Revision
from inferry.types.replay import InputsKept, KeptInput, ReplayAsk, Replayed

if TYPE_CHECKING:
    import httpx
else:
    httpx = Later("httpx")

log = logging.getLogger(__name__)

KEPT_S = 7 * 86_400.0
KEPT_ROWS = 10_000
KEPT_BYTES = 256 << 20
CLEAN_EVERY = 500  # inputs of an endpoint: 32 MB at most
CLEAN_S = 3600.0
MAX_MEDIA = 255
AT_ONCE = 8
ANSWER_S = 60.0
TOLD_EVERY = 100

PATHS = {
    frames.DOOR_PLAIN: "/predict/{}",
    frames.DOOR_FILE: "/predict/{}",
    frames.DOOR_FORM: "/predict/{}",
    frames.DOOR_CSV: "/predict/{}",
    frames.DOOR_OIP: "/v2/models/{}/infer",
    frames.DOOR_PREDICT: "/v1/models/{}:predict",
    frames.DOOR_CLASSIFY: "/v1/models/{}:classify",
    frames.DOOR_REGRESS: "/v1/models/{}:regress",
    frames.DOOR_MLFLOW: "/endpoints/{}/invocations",
    frames.DOOR_MLFLOW_CSV: "/endpoints/{}/invocations",
    frames.DOOR_INVOKE: "/endpoints/{}/invocations",
    frames.DOOR_PREDICTIONS: "/predictions/{}",
    frames.DOOR_SCORE: "/endpoints/{}/score",
    frames.DOOR_HANDLER: "/endpoints/{}",
    frames.DOOR_CHAT: "/v1/chat/completions",
    frames.DOOR_COMPLETIONS: "/v1/completions",
    frames.DOOR_EMBEDDINGS: "/v1/embeddings",
}
"""Where a request of each door goes; those of gRPC are not sent again."""

Answer = tuple[int, str, bytes, float]
"""Status (0: none came), content type, body, seconds."""


class Inputs:
    """The only writer of inputs. `resolve`: the number of a version by its alias. `http`, `key_file`: the gateway, and
    a key for it."""

    def __init__(
        self,
        store: MetadataStore,
        kept: InputStore,
        http: str,
        key_file: Path,
        resolve: Callable[[str, int | str], int],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._kept = kept
        self._http = http
        self._key_file = key_file
        self._resolve = resolve
        self._clock = clock
        self._prefix = f"replay-{secrets.token_hex(8)}-"
        self._count = 0
        self._fresh: dict[str, int] = {}

    # what comes

    def is_ours(self, answer: Captured) -> bool:
        """Whether it was a replay that asked: such answers are not kept."""
        return answer.id.startswith(self._prefix)

    def keep(self, answers: Sequence[Captured]) -> None:
        """Write the inputs that came with answers. Raises what the store raises."""
        given = [kept_input(answer) for answer in answers if answer.input is not None]
        if not given:
            return
        self._kept.add_inputs(given)
        for one in given:
            self._fresh[one.endpoint] = self._fresh.get(one.endpoint, 0) + 1
        for name in [name for name, count in self._fresh.items() if count >= CLEAN_EVERY]:
            del self._fresh[name]
            self._clean(name)

    def _clean(self, endpoint: str = "") -> None:
        gone = self._kept.forget_inputs(self._clock() - KEPT_S, KEPT_ROWS, KEPT_BYTES, endpoint)
        if gone:
            log.info("forgot %d old inputs", gone)

    async def run(self) -> None:
        """Forget what is old, for ever."""
        while True:
            try:
                await asyncio.to_thread(self._clean)
            except Exception:
                log.exception("forgetting old inputs failed; trying again")
            await asyncio.sleep(CLEAN_S)

    def shown(self, endpoint: str) -> InputsKept:
        """What is kept of an endpoint."""
        self._store.endpoint(endpoint)
        return self._kept.inputs_kept(endpoint)

    def forget(self, endpoint: str) -> int:
        """Remove all that is kept of an endpoint."""
        self._store.endpoint(endpoint)
        return self._kept.forget_inputs(float("inf"), 0, 0, endpoint)

    # what goes

    async def replay(self, name: str, ask: ReplayAsk, tell: Callable[[str], None]) -> Replayed:
        """Send the latest requests again. Raises NotFound, Conflict and InvalidInput before the first is sent."""
        policy.check_ask(ask)
        target, serving = await asyncio.to_thread(self._who, name, ask.to)
        against = serving if ask.compare and serving != target.number else 0
        since = self._clock() - ask.last
        found = await asyncio.to_thread(self._kept.inputs, name, since, ask.most)
        if not found:
            raise Conflict(
                f"No requests of {name!r} from that time are kept.",
                help=f"Keep some: inferry traffic {name} --keep-inputs 10",
            )
        usable = [one for one in found if path_of(one) is not None]
        report = Replayed(
            endpoint=name, revision=target.number, version=target.version, against=against,
            passed_over=len(found) - len(usable),
        )  # fmt: skip
        times: tuple[list[float], list[float]] = ([], [])
        headers = await asyncio.to_thread(self._headers)
        limits = httpx.Limits(max_connections=2 * AT_ONCE)
        async with httpx.AsyncClient(timeout=ANSWER_S, limits=limits, trust_env=False, headers=headers) as client:
            await self._send_all(client, usable, ask.rate, report, times, tell)
        report.p50_ms, report.p99_ms = quantiles(times[0])
        report.against_p50_ms, report.against_p99_ms = quantiles(times[1])
        return report

    async def _send_all(
        self, client: httpx.AsyncClient, usable: Sequence[KeptInput], rate: float, report: Replayed,
        times: tuple[list[float], list[float]], tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Each when it is due, a few at a time."""
        slots = asyncio.Semaphore(AT_ONCE)
        start = time.monotonic()

        async def one(kept: KeptInput) -> None:
            try:
                await self._pair(client, kept, report, times)
            finally:
                slots.release()
            if report.sent % TOLD_EVERY == 0:
                tell(f"{report.sent} of {len(usable)} sent, {report.differing} differ")

        async with asyncio.TaskGroup() as group:
            for kept, moment in zip(usable, policy.due(usable, rate), strict=True):
                await asyncio.sleep(max(0.0, start + moment - time.monotonic()))
                await slots.acquire()
                group.create_task(one(kept))

    async def _pair(
        self, client: httpx.AsyncClient, kept: KeptInput, report: Replayed, times: tuple[list[float], list[float]]
    ) -> None:
        """One request to both, and how their answers compare."""
        mine = await self._ask(client, kept, report.revision)
        report.sent += 1
        if mine[0] == 200:
            times[0].append(mine[3])
        else:
            said = str(mine[0])
            report.errors[said] = report.errors.get(said, 0) + 1
        if not report.against:
            return
        other = await self._ask(client, kept, report.against)
        if other[0] == 200:
            times[1].append(other[3])
        if mine[0] != 200 or other[0] != 200:
            report.failed += other[0] == 200
            report.recovered += mine[0] == 200
            return
        found = policy.differences(mine[1], other[2], mine[2])
        report.compared += 1
        report.equal += compare.agree(found)
        compare.add(report.fields, found)

    async def _ask(self, client: httpx.AsyncClient, kept: KeptInput, revision: int) -> Answer:
        self._count += 1
        headers = {
            **policy.headers_of(kept), "inferry-revision": str(revision),
            "x-request-id": f"{self._prefix}{self._count}",
        }  # fmt: skip
        start = time.monotonic()
        try:
            answer = await client.post(f"{self._http}{path_of(kept)}", content=kept.body, headers=headers)
        except httpx.HTTPError:
            return 0, "", b"", time.monotonic() - start
        media = answer.headers.get("content-type", "")
        return answer.status_code, media, answer.content, time.monotonic() - start

    def _headers(self) -> dict[str, str]:
        try:
            key = self._key_file.read_text().strip()
        except OSError:
            key = ""
        return {"authorization": f"Bearer {key}"} if key else {}

    def _who(self, name: str, to: str) -> tuple[Revision, int]:
        """The revision that is meant, which runs, and the one that serves."""
        endpoint = self._store.endpoint(name)
        running = [one for one in self._store.revisions(name) if one.number in endpoint.running]
        if to.isascii() and to.isdecimal():
            found = [one for one in running if one.number == int(to)]
        else:
            model, version = version_reference(to)
            number = self._resolve(model, version)
            found = [one for one in running if (one.model, one.version) == (model, number)]
        if not found:
            raise Conflict(
                f"{to} does not run at {name!r}.",
                help=f"Let it run without traffic: inferry deploy MODEL:N --name {name} --traffic 0",
            )
        return found[-1], endpoint.revision


def path_of(kept: KeptInput) -> str | None:
    """Where a request is sent; None when its door is not spoken here."""
    path = PATHS.get(kept.door)
    return path.format(kept.endpoint) if path is not None else None


def kept_input(answer: Captured) -> KeptInput:
    """The request of an answer."""
    given = answer.input
    assert given is not None
    encoding = "gzip" if given.flags & frames.FLAG_GZIP else "deflate" if given.flags & frames.FLAG_DEFLATE else ""
    return KeptInput(
        endpoint=answer.endpoint, request=answer.id[:128], revision=answer.revision, version=answer.version,
        at=answer.at, door=answer.door, media=given.media[:MAX_MEDIA], encoding=encoding, json_size=given.json_size,
        body=given.body,
    )  # fmt: skip


def quantiles(seconds: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile, in milliseconds."""
    if len(seconds) < 2:
        return (round(seconds[0] * 1000, 3),) * 2 if seconds else (0.0, 0.0)
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return round(cuts[49] * 1000, 3), round(cuts[98] * 1000, 3)
