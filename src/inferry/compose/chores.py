"""Chores: what control does once when it starts, before anybody is served."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from inferry.compose.settings import Layout
from inferry.environments.builder import Environments
from inferry.errors import InferryError
from inferry.interfaces.store import MetadataStore
from inferry.security.files import read_private, write_private
from inferry.security.keys import KeyRing, mint
from inferry.storage.blobs import DirectoryBlobs
from inferry.storage.metadata import open_store
from inferry.storage.schema import at_head

ADMIN = "admin"


def open_migrated(database: Path) -> MetadataStore:
    """The store, after a migration in a process of its own if one is due."""
    url = f"sqlite:///{database}"
    if not at_head(database):
        subprocess.run([sys.executable, "-P", "-m", "inferry.storage.migrate", url], check=False)
    return open_store(url)


def sweep(layout: Layout, store: MetadataStore, blobs: DirectoryBlobs, environments: Environments) -> None:
    """Remove what an interrupted deploy left: staged uploads, and bundles and environments that no version needs."""
    for folder in layout.staging.iterdir():
        shutil.rmtree(folder)
    blobs.sweep()
    for digest in blobs.digests() - store.bundles():
        blobs.delete(digest)
    environments.sweep()
    environments.remove_unused(environments_of(store))


def environments_of(store: MetadataStore) -> set[str]:
    """The environments that versions need."""
    versions = (version for model in store.models() for version in store.versions(model.name))
    return {version.manifest.environment.digest for version in versions}


def ensure_admin(layout: Layout, store: MetadataStore, pepper: bytes) -> None:
    """See that the key in the admin key file works; mint one when there is none."""
    if layout.admin_key.exists():
        text = read_private(layout.admin_key).strip()
        ring = KeyRing({key.id: key for key in store.keys()}, pepper)  # noqa: SIM118 - a method of the store
        try:
            ring.check(b"Bearer " + text, time.time())
        except InferryError:
            layout.admin_key.unlink()
        else:
            return
    known = {key.name for key in store.keys()}  # noqa: SIM118 - a method of the store
    if ADMIN in known:
        store.delete_key(ADMIN)
    key, secret = mint(ADMIN, "admin", ("*",), 0.0, time.time(), pepper)
    store.add_key(key)
    write_private(layout.admin_key, secret.encode() + b"\n")
