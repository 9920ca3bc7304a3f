"""How requests travel: httpx, blocking or async. Imported with the first request, not before.

Data flow: Flow -> Request -> httpx -> Response -> back into the flow, or the exception that
httpx raised, told as one of ours.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from inferry.client.wire import Dropped, Flow, Pause, Request, Response
from inferry.errors import DeadlineExceeded, InvalidInput, Unavailable

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class SyncTransport:
    """Runs flows on blocking sockets. May be shared between threads."""

    def __init__(self, *, tls: bool) -> None:
        self._tls = tls

    @cached_property
    def _http(self) -> httpx.Client:
        import httpx

        http = httpx.Client(**_options(self._tls))
        weakref.finalize(self, http.close)  # `inferry.connect().models()` leaves no socket behind
        return http

    def run(self, flow: Flow[T]) -> T:
        """The flow's value."""
        step: Any = None
        resume: Callable[[Any], Request | Pause] = flow.send
        while True:
            try:
                asked = resume(step)
            except StopIteration as stop:
                value: T = stop.value
                return value
            try:
                step, resume = self._perform(asked), flow.send
            except Exception as error:  # noqa: BLE001 - the flow decides
                step, resume = error, flow.throw

    def _perform(self, asked: Request | Pause) -> Response | None:
        if isinstance(asked, Pause):
            time.sleep(asked.seconds)
            return None
        import httpx

        try:
            body = asked.body() if callable(asked.body) else asked.body
            with self._http.stream(
                asked.method, asked.url, content=body, headers=asked.headers, timeout=asked.timeout
            ) as answer:
                if asked.into is None or answer.status_code >= 400:
                    answer.read()
                    return Response(answer.status_code, answer.headers, answer.content)
                with asked.into.open("wb") as file:
                    for chunk in answer.iter_bytes():
                        file.write(chunk)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _told(error, asked) from error
        return Response(answer.status_code, answer.headers, b"")

    def close(self) -> None:
        """Close the connections."""
        if "_http" in self.__dict__:
            self._http.close()


class AsyncTransport:
    """Runs flows on the event loop (asyncio or trio)."""

    def __init__(self, *, tls: bool) -> None:
        self._tls = tls

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        import httpx

        return httpx.AsyncClient(**_options(self._tls))

    async def run(self, flow: Flow[T]) -> T:
        """The flow's value."""
        step: Any = None
        resume: Callable[[Any], Request | Pause] = flow.send
        while True:
            try:
                asked = resume(step)
            except StopIteration as stop:
                value: T = stop.value
                return value
            try:
                step, resume = await self._perform(asked), flow.send
            except Exception as error:  # noqa: BLE001 - the flow decides
                step, resume = error, flow.throw

    async def _perform(self, asked: Request | Pause) -> Response | None:
        import anyio
        import httpx

        if isinstance(asked, Pause):
            await anyio.sleep(asked.seconds)
            return None
        try:
            body = _streamed(asked.body()) if callable(asked.body) else asked.body
            async with self._http.stream(
                asked.method, asked.url, content=body, headers=asked.headers, timeout=asked.timeout
            ) as answer:
                if asked.into is None or answer.status_code >= 400:
                    await answer.aread()
                    return Response(answer.status_code, answer.headers, answer.content)
                async with await anyio.open_file(asked.into, "wb") as file:
                    async for chunk in answer.aiter_bytes():
                        await file.write(chunk)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _told(error, asked) from error
        return Response(answer.status_code, answer.headers, b"")

    async def close(self) -> None:
        """Close the connections."""
        if "_http" in self.__dict__:
            await self._http.aclose()


def _options(tls: bool) -> dict[str, Any]:
    """Certificates are read only where TLS is spoken; proxies of the environment are not asked."""
    return {"verify": tls, "trust_env": False, "follow_redirects": False}


async def _streamed(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Files are read in a thread, so that the event loop goes on."""
    from anyio.to_thread import run_sync

    while (chunk := await run_sync(next, chunks, b"")) != b"":
        yield chunk


def _told(error: Exception, request: Request) -> Exception:
    import httpx

    if isinstance(error, httpx.ConnectTimeout):
        return _unreachable(request)
    if isinstance(error, httpx.TimeoutException):
        return DeadlineExceeded(f"No answer within {request.timeout:g} s.", help="Allow more time with `timeout`.")
    if isinstance(error, httpx.ConnectError):
        return Dropped(sent=False) if _was_reset(error) else _unreachable(request)
    if isinstance(error, (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)):
        return Dropped(sent=True)
    return InvalidInput(f"The request cannot be sent: {error}.", help="Check the address and the key.")


def _unreachable(request: Request) -> Unavailable:
    address = "/".join(request.url.split("/", 3)[:3])
    return Unavailable(f"Nothing answers at {address}.", help="Is `inferry up` running?")


def _was_reset(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ConnectionResetError):
            return True
        error = error.__cause__ or error.__context__
    return False
