"""Chores: what control does once when it starts, before anybody is served."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from inferry.compose.settings import Layout
from inferry.control.collector import environments_of
from inferry.environments.builder import Environments
from inferry.errors import InferryError
from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.store import MetadataStore
from inferry.security.files import read_private, write_private
from inferry.security.keys import KeyRing, mint
from inferry.types.registry import JOBS_KEY

ADMIN = "admin"


def sweep(layout: Layout, store: MetadataStore, blobs: BlobStore, environments: Environments) -> None:
    """Remove what interrupted work left: staged uploads, half bundles, and environments that no version needs."""
    for folder in layout.staging.iterdir():
        shutil.rmtree(folder)
    blobs.sweep()
    environments.sweep()
    environments.remove_unused(environments_of(store))


def ensure_keys(layout: Layout, store: MetadataStore, pepper: bytes) -> None:
    """See that the keys in the home's files work: the administrator's, and the one that the jobs process calls with."""
    ensure_key(layout.admin_key, ADMIN, "admin", store, pepper)
    ensure_key(layout.jobs_key, JOBS_KEY, "invoker", store, pepper)


def ensure_key(path: Path, name: str, role: str, store: MetadataStore, pepper: bytes) -> None:
    """See that the key in a file works; mint one when there is none."""
    if path.exists():
        text = read_private(path).strip()
        ring = KeyRing({key.id: key for key in store.keys()}, pepper)  # noqa: SIM118 - a method of the store
        try:
            ring.check(b"Bearer " + text, time.time())
        except InferryError:
            path.unlink()
        else:
            return
    known = {key.name for key in store.keys()}  # noqa: SIM118 - a method of the store
    if name in known:
        store.delete_key(name)
    key, secret = mint(name, role, ("*",), 0.0, time.time(), pepper)
    store.add_key(key)
    write_private(path, secret.encode() + b"\n")
