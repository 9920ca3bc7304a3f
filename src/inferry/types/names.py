"""Names: what a model, endpoint or key may be called, and `name:version` references."""

from __future__ import annotations

import re

from inferry.errors import InvalidName

PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
RULE = "Use 1 to 63 lower-case letters, digits and dashes, starting and ending with a letter or digit."


def check_name(name: str, what: str = "name") -> str:
    """Return `name` when it follows the rule, else raise InvalidName."""
    if not isinstance(name, str) or not PATTERN.fullmatch(name):
        shown = ascii(str(name)[:40])
        raise InvalidName(f"{shown} is not a valid {what}.", help=RULE)
    return name


def suggest_name(text: str) -> str:
    """A valid name made from any text (a file's stem), for a default."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower())[:63].strip("-")
    return name or "model"


def parse_reference(text: str) -> tuple[str, int | None]:
    """`fraud:7` -> ("fraud", 7); `fraud` -> ("fraud", None)."""
    name, colon, version = text.partition(":")
    check_name(name, "model name")
    if not colon:
        return name, None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise InvalidName(f"{version[:20]!a} is not a version number.", help="Write NAME:N with N = 1, 2, 3...")
    return name, int(version)
