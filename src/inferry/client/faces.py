"""The two faces of the client. Every method is a flow, run by the one transport or the other:

    Client.models()              = SyncTransport.run(control.models(session))
    await AsyncClient.models()   = AsyncTransport.run(control.models(session))

so there is no twin to keep in step; arguments, types and documentation are the flow's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, Generic, ParamSpec, Self, TypeVar

from inferry.client import control, inference
from inferry.client.control import Session
from inferry.client.inference import Handle
from inferry.client.settings import Settings, resolve
from inferry.client.transport import AsyncTransport, SyncTransport
from inferry.client.wire import Flow

S = TypeVar("S")
T = TypeVar("T")
P = ParamSpec("P")


class _SyncFace(Generic[S]):
    def __init__(self, subject: S, transport: SyncTransport) -> None:
        self._subject = subject
        self._transport = transport


class _AsyncFace(Generic[S]):
    def __init__(self, subject: S, transport: AsyncTransport) -> None:
        self._subject = subject
        self._transport = transport


def _sync(flow: Callable[Concatenate[S, P], Flow[T]]) -> Callable[Concatenate[_SyncFace[S], P], T]:
    @wraps(flow)
    def method(self: _SyncFace[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._transport.run(flow(self._subject, *args, **kwargs))

    return method


def _async(flow: Callable[Concatenate[S, P], Flow[T]]) -> Callable[Concatenate[_AsyncFace[S], P], Awaitable[T]]:
    @wraps(flow)
    async def method(self: _AsyncFace[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._transport.run(flow(self._subject, *args, **kwargs))

    return method


class Endpoint(_SyncFace[Handle]):
    """An endpoint to call: `client.endpoint("fraud").predict(data)`."""

    predict = _sync(inference.predict)
    ask = _sync(inference.ask)
    metadata = _sync(inference.metadata)
    example = _sync(inference.example)

    def __repr__(self) -> str:
        return f"<Endpoint {self._subject.name}>"


class AsyncEndpoint(_AsyncFace[Handle]):
    """An endpoint to await: `await client.endpoint("fraud").predict(data)`."""

    predict = _async(inference.predict)
    ask = _async(inference.ask)
    metadata = _async(inference.metadata)
    example = _async(inference.example)

    def __repr__(self) -> str:
        return f"<AsyncEndpoint {self._subject.name}>"


class Client(_SyncFace[Session]):
    """A platform, spoken to by blocking calls. Made by `inferry.connect`; may be shared between threads."""

    info = _sync(control.info)
    deploy = _sync(control.deploy)
    models = _sync(control.models)
    versions = _sync(control.versions)
    version = _sync(control.version)
    endpoints = _sync(control.endpoints)
    describe = _sync(control.describe)
    rollback = _sync(control.rollback)
    scale = _sync(control.scale)
    logs = _sync(control.logs)
    delete = _sync(control.delete)
    delete_version = _sync(control.delete_version)
    delete_model = _sync(control.delete_model)
    keys = _sync(control.keys)
    create_key = _sync(control.create_key)
    revoke_key = _sync(control.revoke_key)
    doctor = _sync(control.doctor)

    def __init__(self, settings: Settings, *, timeout: float = 30.0, retries: int = 2) -> None:
        super().__init__(Session(settings, timeout=timeout, retries=retries), SyncTransport(tls=_speaks_tls(settings)))

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name. Nothing is asked of the server yet."""
        return Endpoint(Handle(self._subject, name), self._transport)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._subject.control}>"


class AsyncClient(_AsyncFace[Session]):
    """A platform, spoken to from an event loop. Made by `inferry.connect_async`."""

    info = _async(control.info)
    deploy = _async(control.deploy)
    models = _async(control.models)
    versions = _async(control.versions)
    version = _async(control.version)
    endpoints = _async(control.endpoints)
    describe = _async(control.describe)
    rollback = _async(control.rollback)
    scale = _async(control.scale)
    logs = _async(control.logs)
    delete = _async(control.delete)
    delete_version = _async(control.delete_version)
    delete_model = _async(control.delete_model)
    keys = _async(control.keys)
    create_key = _async(control.create_key)
    revoke_key = _async(control.revoke_key)
    doctor = _async(control.doctor)

    def __init__(self, settings: Settings, *, timeout: float = 30.0, retries: int = 2) -> None:
        super().__init__(Session(settings, timeout=timeout, retries=retries), AsyncTransport(tls=_speaks_tls(settings)))

    def endpoint(self, name: str) -> AsyncEndpoint:
        """The endpoint of that name. Nothing is asked of the server yet."""
        return AsyncEndpoint(Handle(self._subject, name), self._transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._subject.control}>"


def connect(
    url: str | None = None,
    key: str | None = None,
    home: str | Path | None = None,
    *,
    timeout: float = 30.0,
    retries: int = 2,
) -> Client:
    """A client of the platform that runs on this machine, or of the one at `url`.

    `url` is the control API's address, or an inference listener's when only predictions are
    wanted. What is not given comes from INFERRY_URL, INFERRY_API_KEY and INFERRY_HOME, then
    from the files that `inferry up` keeps in its home. `timeout` is in seconds, for each
    request; `retries` is how often a request that surely was not run is tried again.
    """
    return Client(resolve(url, key, home), timeout=timeout, retries=retries)


def connect_async(
    url: str | None = None,
    key: str | None = None,
    home: str | Path | None = None,
    *,
    timeout: float = 30.0,
    retries: int = 2,
) -> AsyncClient:
    """Like `connect`, for an event loop: `async with inferry.connect_async() as client`."""
    return AsyncClient(resolve(url, key, home), timeout=timeout, retries=retries)


def _speaks_tls(settings: Settings) -> bool:
    return "https" in (settings.control.split(":")[0], settings.http.split(":")[0])
