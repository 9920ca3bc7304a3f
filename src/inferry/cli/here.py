"""The inferry.yaml of this folder, where a command may find what it needs in it.

Data flow: ./inferry.yaml -> Project -> the model of a name, with paths beside the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from inferry.types.project import Project

FILE = Path("inferry.yaml")


class Source(NamedTuple):
    """What a project says of a model's files."""

    path: Path
    sample: Path | None
    convert: str
    labels: dict[str, str]


def project_here() -> Project | None:
    """What the folder's file declares; None without one. Raises InvalidSettings."""
    from inferry.bundles.project import declared_project

    return declared_project(FILE).value if FILE.is_file() else None


def source_of(name: Path, project: Project | None) -> Source | None:
    """The files of a declared model; None when a path is meant. Raises UsageError when it can be neither."""
    if name.exists() or project is None or len(name.parts) != 1:
        return None
    model = project.models.get(name.name)
    if model is None:
        declared = ", ".join(project.models) or "none"
        raise click.UsageError(f"{name} is neither a file or folder nor a model of {FILE} (declared: {declared}).")
    sample = Path(model.sample) if model.sample else None
    return Source(Path(model.path), sample, model.convert, model.labels)
