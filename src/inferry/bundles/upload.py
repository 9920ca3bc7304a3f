"""Upload: what a client sent, unpacked: the artifact's folder and, if it came, the sample file."""

from __future__ import annotations

from pathlib import Path

from inferry.bundles.archive import extract_tar
from inferry.errors import InvalidModel


def unpack_upload(archive: Path, into: Path) -> tuple[Path, Path | None]:
    """Unpack members `artifact/...` and `sample/FILE`, then let go of the archive."""
    into.mkdir(mode=0o700)
    extract_tar(archive, into)
    archive.unlink()
    artifact, samples = into / "artifact", into / "sample"
    strays = {entry.name for entry in into.iterdir()} - {"artifact", "sample"}
    if strays or not artifact.is_dir():
        raise InvalidModel("The upload holds no model.", help="Use `inferry deploy`, or put it under artifact/.")
    found = sorted(samples.iterdir()) if samples.is_dir() else []
    if len(found) > 1 or any(not path.is_file() for path in found):
        raise InvalidModel("The upload holds more than one sample.", help="Give one file.")
    return artifact, found[0] if found else None
