"""Access: who asks the control API, and whether they may.

Every route is registered with the action it needs; there is no way to register one without.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from inferry.errors import Forbidden, InferryError, InternalError
from inferry.security.keys import KeyRing, may
from inferry.types.registry import Key

Handler = Callable[[Request, Key], Awaitable[Any]]
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


class Json(Response):
    """A JSON answer by msgspec."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode."""
        return msgspec.json.encode(content)


def error_response(error: InferryError) -> Json:
    """An error in the control API's form."""
    body: dict[str, str] = {"code": error.code, "message": error.message}
    if error.help:
        body["help"] = error.help
    response = Json({"error": body}, status_code=error.status)
    if error.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if error.retry_after is not None:
        response.headers["retry-after"] = str(max(1, round(error.retry_after)))
    return response


class Guard:
    """Makes routes that check the Host header and the key first.

    The Host check refuses what a browser sends after DNS rebinding, for every verb alike.
    """

    def __init__(self, keys: Callable[[], Mapping[str, Key]], pepper: bytes, hosts: tuple[str, ...]) -> None:
        self._keys = keys
        self._pepper = pepper
        self._made_for = keys()
        self._made = KeyRing(self._made_for, pepper)
        self._hosts = {*LOCAL_HOSTS, *hosts}

    def route(self, verb: str, path: str, action: str, handler: Handler) -> Route:
        """One route that needs `action`."""

        async def endpoint(request: Request) -> Response:
            try:
                self._check_host(request)
                key = self._ring().check(request.headers.get("authorization"), time.time())
                if not may(key, action):
                    raise Forbidden(f"The role {key.role} may not do this.", help="Use a key with the role admin.")
                answer = await handler(request, key)
            except InferryError as error:
                return error_response(error)
            except ClientDisconnect:
                return error_response(InternalError("The client left."))
            return answer if isinstance(answer, Response) else Json(answer)

        return Route(path, endpoint, methods=[verb])

    def _ring(self) -> KeyRing:
        """The ring of the keys as they are now; made anew when they changed."""
        keys = self._keys()
        if keys is not self._made_for:
            self._made_for, self._made = keys, KeyRing(keys, self._pepper)
        return self._made

    def _check_host(self, request: Request) -> None:
        host = request.headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name not in self._hosts:
            raise Forbidden("This Host is not ours.", help="Use the address that `inferry up` printed.")
