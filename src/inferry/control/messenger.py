"""Messenger: one signed HTTP request to a webhook's address.

Data flow: URL -> its host resolved -> every address allowed (`policy.destinations`) -> POST to the first that answers,
under the name that the URL has -> Answer: the status, how long it took, and a few words.

Nothing is remembered; redirects are not followed, proxies not asked, and no more than the head of an answer is read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from inferry.later import Later
from inferry.policy.destinations import refused, secure

if TYPE_CHECKING:
    import httpx
else:
    httpx = Later("httpx")

CONNECT_S, TOTAL_S = 5.0, 15.0
MAX_ANSWER = 4096
SHOWN = 300


class Answer(NamedTuple):
    """What came back. `status` 0: nothing did; `words`: why, or the beginning of an answer that is no success."""

    status: int
    ms: float
    words: str = ""
    retry_after: str | None = None


class Messenger:
    """Sends. Its certificates are read once."""

    def __init__(self) -> None:
        self._tls: ssl.SSLContext | None = None

    async def send(self, url: str, headers: dict[str, str], body: bytes, *, allow_http: bool) -> Answer:
        """One attempt; it never raises for what is wrong out there."""
        start = time.monotonic()
        status, words, retry_after = 0, "", None
        try:
            async with asyncio.timeout(TOTAL_S):
                addresses = await self._addresses(url, allow_http=allow_http)
                status, words, retry_after = await self._post(url, addresses, headers, body)
        except TimeoutError:
            words = f"No answer within {TOTAL_S:g} s."
        except (OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL, _Refused) as error:
            words = _why(error)
        return Answer(status, round((time.monotonic() - start) * 1000, 1), words, retry_after)

    async def _addresses(self, url: str, *, allow_http: bool) -> list[str]:
        """Where the host is now. One that must not be asked refuses them all: the name cannot be trusted."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        for address in addresses:
            why = refused(address, secure=secure(parts, allow_http=allow_http))
            if why:
                raise _Refused(f"{parts.hostname} is at {address}: {why}.")
        return addresses

    async def _post(
        self, url: str, addresses: list[str], headers: dict[str, str], body: bytes
    ) -> tuple[int, str, str | None]:
        target = httpx.URL(url)
        name = target.netloc.decode("ascii")
        context = self._certificates() if target.scheme == "https" else False
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(TOTAL_S, connect=CONNECT_S), verify=context, trust_env=False, follow_redirects=False
        ) as client:
            problem: Exception = _Refused(f"{target.host} has no address.")
            for address in addresses:
                try:
                    async with client.stream(
                        "POST", target.copy_with(host=address), content=body, headers={**headers, "host": name},
                        extensions={"sni_hostname": target.host},
                    ) as answer:  # fmt: skip
                        words = "" if answer.is_success else await _beginning(answer)
                        return answer.status_code, words, answer.headers.get("retry-after")
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    problem = error
            raise problem

    def _certificates(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
            self._tls.load_default_certs()  # an authority of one's own is among the machine's
        return self._tls


class _Refused(Exception):
    """The address must not be asked."""


async def _beginning(answer: httpx.Response) -> str:
    """What an answer begins with, in one line; a redirect's aim is worth more than its text."""
    if answer.has_redirect_location:
        return f"Redirects are not followed (to {ascii(answer.headers['location'][:SHOWN])[1:-1]})."
    text = b""
    async for chunk in answer.aiter_raw():
        text += chunk
        if len(text) >= MAX_ANSWER:
            break
    shown = " ".join(text[:MAX_ANSWER].decode("utf-8", "replace").split())[:SHOWN]
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def _why(error: Exception) -> str:
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "The host's name cannot be resolved."
    if isinstance(error, _Refused):
        return str(error)
    kind = {"ConnectError": "No connection", "ConnectTimeout": "No connection in time"}.get(type(error).__name__)
    said = str(error).strip()
    return f"{kind or type(error).__name__}{f': {said}' if said else ''}"[:SHOWN]
