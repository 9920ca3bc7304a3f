"""Where bundles are kept: a folder of the home, or object storage.

Data flow: the settings -> DirectoryBlobs or ObjectBlobs -> swept by what the database knows, once, at the start.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from inferry.compose.settings import ControlSettings, Layout
from inferry.errors import Unavailable
from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.store import MetadataStore
from inferry.objects import Objects
from inferry.security.files import read_private, write_private
from inferry.storage.blobs import DirectoryBlobs
from inferry.storage.object_blobs import ObjectBlobs
from inferry.types.database import parse_database_url

log = logging.getLogger(__name__)


def open_blobs(
    settings: ControlSettings, layout: Layout, in_use: Callable[[], set[str]]
) -> DirectoryBlobs | ObjectBlobs:
    """The platform's bundles. Raises InvalidInput, MissingPlugin and Unavailable."""
    if not settings.blobs:
        return DirectoryBlobs(layout.bundles)
    return ObjectBlobs(Objects(settings.blobs), layout.bundles, settings.blobs_cache_mb << 20, in_use)


def settle(
    blobs: DirectoryBlobs | ObjectBlobs, store: MetadataStore, layout: Layout, url: str, tell: Callable[[str], None]
) -> None:
    """Remove what no version needs; send what lies here only. Where object storage does not answer, that is left to
    the next start, once a supervisor that waits has heard of it."""
    try:
        if isinstance(blobs, ObjectBlobs):
            blobs.claim(owner_of(layout, url))
            send_missing(blobs, store)
            blobs.sweep_objects()
        for digest in blobs.digests() - store.bundles():
            blobs.delete(digest)
    except Unavailable as error:
        if not isinstance(blobs, ObjectBlobs):
            raise
        log.warning("bundles cannot be looked after: %s", error.sentence())
        tell(error.sentence())


def send_missing(blobs: ObjectBlobs, store: MetadataStore) -> None:
    """Send the bundles of a home that had none in object storage before."""
    for digest in store.bundles() - blobs.digests():
        if blobs.send(digest):
            log.info("the bundle %s was sent to %s", digest[:12], blobs.objects.url)


def owner_of(layout: Layout, url: str) -> str:
    """Whose bundles they are: the database's that knows them."""
    if url:
        return parse_database_url(url).shown
    if not layout.platform_id.exists():
        write_private(layout.platform_id, secrets.token_hex(16).encode())
    return f"the platform {read_private(layout.platform_id).decode()}"


def keeps(blobs: BlobStore) -> ObjectBlobs | None:
    """Object storage, if that is what it is."""
    return blobs if isinstance(blobs, ObjectBlobs) else None
