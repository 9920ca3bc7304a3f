"""Keys: making, listing and revoking them; the gateways know of each change when a call returns."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from inferry.control.reconciler import Reconciler
from inferry.errors import Conflict, InvalidInput
from inferry.interfaces.store import MetadataStore
from inferry.security.keys import mint
from inferry.types.names import check_name
from inferry.types.registry import JOBS_KEY, Key

ROLES = ("admin", "viewer", "invoker")


class Keys:
    """Who may call."""

    def __init__(self, store: MetadataStore, reconciler: Reconciler, pepper: bytes) -> None:
        self._store = store
        self._reconciler = reconciler
        self._pepper = pepper

    def list(self) -> list[dict[str, Any]]:
        """All keys, without their hashes."""
        return [key_row(key) for key in self._store.keys()]  # noqa: SIM118 - a method of the store

    async def create(self, name: str, role: str, endpoints: tuple[str, ...], expires_s: float) -> dict[str, Any]:
        """Mint a key; its text is told once, here."""
        check_name(name, "key name")
        if role not in ROLES:
            raise InvalidInput(f"{role[:20]!a} is not a role.", help=f"Use one of {', '.join(ROLES)}.")
        for endpoint in endpoints:
            if endpoint != "*":
                check_name(endpoint, "endpoint name")
        if expires_s < 0:
            raise InvalidInput(
                "A key cannot expire in the past.", help="Give expires_s in seconds from now, 0 for never."
            )
        now = time.time()
        key, text = mint(name, role, endpoints, now + expires_s if expires_s else 0.0, now, self._pepper)
        await asyncio.to_thread(self._store.add_key, key)
        await self._reconciler.refresh()
        return key_row(key) | {"key": text}

    async def revoke(self, id_or_name: str) -> None:
        """Forget a key; it stops working at once. Not the jobs process's: jobs would wait for ever."""
        known = await asyncio.to_thread(self._store.keys)
        if any(key.name == JOBS_KEY and id_or_name in (key.id, key.name) for key in known):
            raise Conflict(f"{JOBS_KEY!r} is the platform's own: jobs call endpoints with it.", help="Let it be.")
        await asyncio.to_thread(self._store.delete_key, id_or_name)
        await self._reconciler.refresh()


def key_row(key: Key) -> dict[str, Any]:
    """A key as the API shows it."""
    row: dict[str, Any] = msgspec.to_builtins(key)
    del row["digest"]
    return row
