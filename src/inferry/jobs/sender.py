"""Sender: one attempt of a job, as an ordinary request to the gateway.

Data flow: a job's path, headers and body, with the key of the jobs process -> HTTP -> Reply: the answer, how long it
took and how much of that was the model's.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import msgspec

from inferry.policy.spare import read_timing
from inferry.types.jobs import Headers, Job

CONNECT_S = 5.0
LONGEST_S = 3_700.0
KEPT = ("content-type", "inference-header-content-length", "inferry-version", "inferry-revision", "inferry-request-id")
MOST_WORDS = 2_000


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of an attempt. `status` 0: no answer. `total_s`, `computed_s`: the gateway's own figures."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    code: str = ""
    message: str = ""
    retry_after: float = 0.0
    total_s: float = 0.0
    computed_s: float = 0.0


class Sender:
    """Sends over connections that it keeps. `key`: the text of the jobs process's key."""

    def __init__(self, address: str, key: str) -> None:
        self._authorization = f"Bearer {key}"
        timeout = httpx.Timeout(LONGEST_S, connect=CONNECT_S, pool=LONGEST_S)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._http = httpx.AsyncClient(base_url=address, timeout=timeout, limits=limits, trust_env=False)

    async def send(self, job: Job, body: bytes) -> Reply:
        """One attempt."""
        headers = [
            ("inferry-request-id", job.id), ("inferry-timing", "1"), ("authorization", self._authorization),
            *job.headers,
        ]  # fmt: skip
        try:
            answer = await self._http.post(job.path, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Reply(status=0, code="no_answer", message=f"The gateway gave no answer: {type(error).__name__}.")
        kept = tuple((name, answer.headers[name]) for name in KEPT if name in answer.headers)
        total_s, computed_s = read_timing(answer.headers.get("server-timing", ""))
        code, message = ("", "") if answer.is_success else words_of(answer)
        return Reply(
            status=answer.status_code, headers=kept, body=answer.content, code=code, message=message,
            retry_after=number(answer.headers.get("retry-after", "")),
            total_s=total_s, computed_s=computed_s,
        )  # fmt: skip

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def words_of(answer: httpx.Response) -> tuple[str, str]:
    """The code and the message of an error, in whichever form it came."""
    try:
        said = msgspec.json.decode(answer.content)
        error = said.get("error", said)
        message = error.get("message", "") if isinstance(error, dict) else str(error)
        code = str(error.get("code", "")) if isinstance(error, dict) else ""
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError):
        code, message = "", answer.text
    return answer.headers.get("inferry-error", code) or f"http_{answer.status_code}", str(message)[:MOST_WORDS]


def number(text: str) -> float:
    """A number, 0 for what is none."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
