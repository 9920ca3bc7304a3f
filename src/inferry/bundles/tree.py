"""Tree: what a person gave, file by file, for those who recognise formats. Nothing of it runs.

Data flow: artifact folder -> its plain files, sorted -> `kind` of each by content (looked at once),
small JSON and requirements files read on demand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from inferry.bundles.pickles import is_skops
from inferry.bundles.requirements import read_requirements
from inferry.bundles.sniff import MAX_SOURCE, Kind, predictors, sniff, syntax_tree
from inferry.errors import InvalidModel

MAX_FILES = 10_000
MAX_JSON = 16 << 20


class Tree:
    """The files of an artifact. `folder` is where they lie, `shown` what a lone file was called."""

    def __init__(self, folder: Path, files: list[Path], shown: str = "") -> None:
        self.folder = folder
        self.files = files
        self.shown = shown or (files[0].name if len(files) == 1 else folder.name)
        self._kinds: dict[Path, Kind] = {}

    @property
    def lone(self) -> Path | None:
        """The file, when there is only one."""
        return self.files[0] if len(self.files) == 1 else None

    def name(self, path: Path) -> str:
        """A file's path inside the artifact, with forward slashes."""
        return path.relative_to(self.folder).as_posix()

    def kind(self, path: Path) -> Kind:
        """What a file is, from its content."""
        if path not in self._kinds:
            kind = sniff(path)
            self._kinds[path] = Kind.ZIP if kind is Kind.SKOPS and not is_skops(path) else kind
        return self._kinds[path]

    def of(self, *kinds: Kind) -> list[Path]:
        """The files of these kinds."""
        return [path for path in self.files if self.kind(path) in kinds]

    def find(self, *names: str) -> Path | None:
        """The file nearest to the top with one of these names (the last part of its path)."""
        found = [path for path in self.files if path.name in names]
        return min(found, key=lambda path: (len(path.parts), names.index(path.name)), default=None)

    def json(self, path: Path) -> Any:
        """A small JSON file's value; None when it is none."""
        if path.stat().st_size > MAX_JSON:
            return None
        try:
            return msgspec.json.decode(path.read_bytes())
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None

    def asked(self, near: Path) -> tuple[str, ...]:
        """The lines of the requirements.txt at the top or beside a file; () without one."""
        for place in dict.fromkeys((self.folder, near.parent)):
            path = place / "requirements.txt"
            if path.is_file():
                return read_requirements(path)
        return ()

    def predicts(self, path: Path) -> bool:
        """Whether a Python file has a class or function with `predict` that is a model."""
        if path.stat().st_size > MAX_SOURCE:
            return False
        tree = syntax_tree(path.read_bytes())
        return tree is not None and bool(predictors(tree))


def files_of(folder: Path) -> list[Path]:
    """Regular files, sorted; hidden files and caches do not count. InvalidModel for a link."""
    found: list[Path] = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part in {"__pycache__", "__MACOSX"} for part in parts):
            continue
        if path.is_symlink():
            raise InvalidModel(f"The folder holds a link ({path.name[:80]!a}).", help="Send the file itself.")
        if path.is_file():
            found.append(path)
        if len(found) > MAX_FILES:
            raise InvalidModel(f"The folder holds more than {MAX_FILES} files.")
    return found
