"""What is wrong with a settings file, and where.

Data flow: a reader or a rule finds Problems by path (`("endpoints", "fraud", "replicas")`) -> the reader of the
file knows the line of each path -> one error with all of them.
"""

from __future__ import annotations

from typing import NamedTuple

Path = tuple[str | int, ...]


class Problem(NamedTuple):
    """`words`: a sentence that says what is wrong at `path`. `help`: what to write instead, "" when that is plain."""

    path: Path
    words: str
    help: str = ""


def spell(path: Path) -> str:
    """`endpoints.fraud.steps[1]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def sentence(problem: Problem) -> str:
    """`endpoints.fraud.replicas: it must be 1 or more. Use 1 to 256.`"""
    place = f"{spell(problem.path)}: " if problem.path else ""
    return f"{place}{problem.words.rstrip('.')}.{' ' if problem.help else ''}{problem.help}"
