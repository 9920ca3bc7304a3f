"""Text for people made from text for programmers.

Data flow: an exception of a framework or of user code -> `first_line` -> one short
sentence without file paths or memory addresses, safe to show to a client.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?: at)? ?\b0x[0-9a-fA-F]{4,}")
_PATH = re.compile(r"(?<![\w.:/])/(?:[^\s'\"`,;:()\[\]<>/]+/)*([^\s'\"`,;:()\[\]<>/]*)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def first_line(text: object, limit: int = 200) -> str:
    """The first line that says something, without directories and addresses, cut at `limit`."""
    line = next((line for line in str(text)[:4000].splitlines() if line.strip()), "")[:2000]
    line = _CONTROL.sub(" ", _ADDRESS.sub("", _PATH.sub(r"\1", line))).strip()
    line = line.encode("utf-8", "replace").decode()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def raised(error: BaseException) -> str:
    """`ValueError: <first line>`."""
    said = first_line(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
