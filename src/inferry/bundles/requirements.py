"""Requirements: the packages a person asks for, read and checked line by line.

Data flow: requirements.txt, or a PEP 723 block at the top of a Python file -> lines that
are a name with optional extras, versions and marker -> merged over what we would ask for.
Options, paths and addresses are refused: they would make the installer read or fetch
what the person who deploys did not see.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from inferry.errors import InvalidModel

MAX_LINES = 2000

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_ONE = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+"
_LINE = re.compile(
    rf"({_NAME})\s*(\[[A-Za-z0-9._,\s-]*\])?\s*(?:\(?\s*({_ONE}(?:\s*,\s*{_ONE})*)?\s*,?\s*\)?)\s*(;.+)?"
)
_SIDE = r"""(?:[a-z_]+|'[\w.*+ -]*'|"[\w.*+ -]*")"""
_TEST = rf"\(*\s*{_SIDE}\s*(?:===|==|~=|!=|<=|>=|<|>|\s(?:not\s+)?in\s)\s*{_SIDE}\s*\)*"
_MARKER = re.compile(rf";\s*{_TEST}(?:\s+(?:and|or)\s+{_TEST})*\s*")
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_HELP = 'Write one package a line, for example "numpy>=1.26".'


def read_requirements(path: Path) -> tuple[str, ...]:
    """The lines of a requirements.txt, comments and hashes left out. Raises InvalidModel."""
    try:
        text = path.read_bytes()[: 1 << 20].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidModel(f"{path.name} is not text in UTF-8.", help=_HELP) from None
    lines = re.sub(r"\\\r?\n", " ", text).splitlines()
    if len(lines) > MAX_LINES:
        raise InvalidModel(f"{path.name} has more than {MAX_LINES} lines.")
    found = []
    for number, line in enumerate(lines, 1):
        bare = re.sub(r"(^|\s)#.*$", "", line)
        bare = re.sub(r"\s--hash=\S+", "", bare).strip()  # the lock has hashes of its own
        if bare:
            found.append(check_line(bare, f"line {number} of {path.name}"))
    return tuple(found)


def script_requirements(source: bytes) -> tuple[str, ...]:
    """The dependencies of a PEP 723 `# /// script` block; () without one."""
    text = source.decode("utf-8", "replace").replace("\r\n", "\n")
    blocks = [match for match in _BLOCK.finditer(text) if match["type"] == "script"]
    if not blocks:
        return ()
    if len(blocks) > 1:
        raise InvalidModel("The Python file has more than one script block.")
    content = "".join(
        line[2:] if line.startswith("# ") else line[1:] for line in blocks[0]["content"].splitlines(keepends=True)
    )
    try:
        wanted = tomllib.loads(content).get("dependencies", [])
    except (tomllib.TOMLDecodeError, RecursionError):
        raise InvalidModel("The script block of the Python file is not valid TOML.") from None
    if not isinstance(wanted, list) or not all(isinstance(line, str) for line in wanted):
        raise InvalidModel("The dependencies in the script block are not a list of text.")
    return tuple(check_line(line.strip(), "the script block") for line in wanted)


def check_line(line: str, where: str) -> str:
    """One requirement as it was written. InvalidModel, saying what kind of line is not taken."""
    fits = _LINE.fullmatch(line) if len(line) <= 500 else None
    if fits and (fits[4] is None or _MARKER.fullmatch(fits[4])):
        return line
    shown = f"{line[:60]!a} in {where}"
    if line.startswith("-"):
        raise InvalidModel(f"The option {shown} is not taken.", help=_HELP)
    if "://" in line or line.startswith((".", "/", "file:")) or "@" in line or "\\" in line:
        raise InvalidModel(f"The path or address {shown} is not taken.", help=_HELP)
    raise InvalidModel(f"The requirement {shown} cannot be read.", help=_HELP)


def merged(ours: Iterable[str], theirs: Iterable[str]) -> tuple[str, ...]:
    """Theirs, and those of ours that they say nothing about."""
    theirs = tuple(theirs)
    named = {_normal(line) for line in theirs}
    return theirs + tuple(line for line in ours if _normal(line) not in named)


def _normal(line: str) -> str:
    match = re.match(_NAME, line)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else line
