"""inferry.yaml: read and checked.

Data flow: text -> `read_declared` (form, units, unknown keys) -> `policy.project` (sense) -> a Project, or
InvalidSettings with the file and line of every problem.
"""

from __future__ import annotations

from pathlib import Path

from inferry.bundles.declared import Declared, read_declared
from inferry.errors import InvalidSettings
from inferry.policy.project import problems
from inferry.types.project import Project

FILE = "inferry.yaml"


def read_project(text: str, file: str = FILE) -> Project:
    """What a text declares. Raises InvalidSettings."""
    found = read_declared(text, Project, file)
    return found.check(problems(found.value))


def declared_project(path: Path) -> Declared[Project]:
    """What a file declares, with the line of everything. Raises InvalidSettings."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        help = "Write one, or name another with --file. docs/tasks/pipelines.md has the form."
        raise InvalidSettings(f"There is no {path}.", help=help) from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InvalidSettings(f"{path} cannot be read: {why}.") from error
    found = read_declared(text, Project, str(path))
    found.check(problems(found.value))
    return found
