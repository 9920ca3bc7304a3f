"""Trust: the certificates of control, of the gateway and of replicas on other machines, from the platform's authority.

Control's and the gateway's are made anew each day; the gateway finds its own in a private file of the run folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from pathlib import Path

import msgspec

from inferry.security.authority import RENEW_S, Authority
from inferry.security.files import write_private
from inferry.security.tls import CONTROL, GATEWAY, connecting_context, replica_name
from inferry.types.identity import Identity


class Trust:
    """backends.ray.Trust. `shown`: the file with the gateway's identity."""

    def __init__(self, authority: Authority, shown: Path) -> None:
        self._authority = authority
        self._shown = shown
        self._made = float("-inf")
        self._context: ssl.SSLContext
        self.renewing: asyncio.Task[None] | None = None
        self.context()

    @property
    def platform(self) -> str:
        """A name for this platform that no other has."""
        return hashlib.sha256(self._authority.pem.encode()).hexdigest()[:16]

    def context(self) -> ssl.SSLContext:
        """Of control's own connections."""
        if time.monotonic() - self._made > RENEW_S:
            self._made = time.monotonic()
            self._context = connecting_context(self._authority.issue(CONTROL, connects=True))
            write_private(self._shown, msgspec.json.encode(self._authority.issue(GATEWAY, connects=True)))
        return self._context

    def sign(self, replica: str, request: str) -> Identity:
        """What a replica shows, for the key that its host has made."""
        return self._authority.sign(replica_name(replica), request)

    def issue(self, replica: str) -> Identity:
        """The same with a key, for over a channel that is safe."""
        return self._authority.issue(replica_name(replica), connects=False)

    def name(self, replica: str) -> str:
        """What must be in it."""
        return replica_name(replica)

    async def run(self) -> None:
        """For ever: renew in time."""
        while True:
            await asyncio.sleep(RENEW_S / 24)
            await asyncio.to_thread(self.context)
