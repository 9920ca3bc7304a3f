"""BlobStore: content-addressed bundle directories."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class BlobStore(Protocol):
    """Directories by the sha256 (hex) of their manifest."""

    def adopt(self, staged: Path, digest: str) -> Path:
        """Take a staged directory in, atomically and durably. Raises StorageFull."""
        ...

    def find(self, digest: str) -> Path | None:
        """Where a bundle lies on this machine, None when it does not (`path` may have it fetched). Quick."""
        ...

    def path(self, digest: str) -> Path:
        """Where a bundle lies, which may be fetched first. Raises NotFound, Unavailable, InvalidModel."""
        ...

    def digests(self) -> set[str]:
        """All that is kept."""
        ...

    def delete(self, digest: str) -> None:
        """Forget one."""
        ...

    def sweep(self) -> int:
        """Remove what interrupted calls left behind on this machine; how many entries. For who leads, at its start."""
        ...
