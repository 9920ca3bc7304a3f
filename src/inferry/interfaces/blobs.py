"""BlobStore: content-addressed bundle directories."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class BlobStore(Protocol):
    """Directories by the sha256 (hex) of their manifest."""

    def adopt(self, staged: Path, digest: str) -> Path:
        """Take a staged directory in, atomically and durably. Raises StorageFull."""
        ...

    def path(self, digest: str) -> Path:
        """Where a bundle lies. Raises NotFound."""
        ...

    def digests(self) -> set[str]:
        """All that is kept."""
        ...

    def delete(self, digest: str) -> None:
        """Forget one."""
        ...
