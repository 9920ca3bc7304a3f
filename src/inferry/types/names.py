"""Names: what a model, endpoint or key may be called, and how a version is referred to."""

from __future__ import annotations

import re
from typing import NamedTuple

from inferry.errors import InvalidName

PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
NUMBER = re.compile(r"[1-9][0-9]{0,8}")
LATEST = "latest"
"""Of every model the newest version; no alias has this name."""
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


class Reference(NamedTuple):
    """What `fraud:7`, `fraud@champion` or `fraud` names. `version`: a number, an alias, or nothing."""

    model: str
    version: int | str | None


def parse_reference(text: str) -> Reference:
    """`fraud:7` -> ("fraud", 7); `fraud@champion` -> ("fraud", "champion"); `fraud` -> ("fraud", None)."""
    name, at, alias = text.partition("@")
    if at:
        return Reference(check_name(name, "model name"), check_name(alias, "alias"))
    name, colon, number = text.partition(":")
    check_name(name, "model name")
    if not colon:
        return Reference(name, None)
    if not NUMBER.fullmatch(number):
        raise InvalidName(f"{number[:20]!a} is not a version number.", help="Write NAME:N with N = 1, 2, 3...")
    return Reference(name, int(number))


def version_reference(text: str) -> tuple[str, int | str]:
    """`fraud:7` or `fraud@champion`. Raises InvalidName for a model without a version."""
    model, version = parse_reference(text)
    if version is None:
        raise InvalidName(f"{text!a} names no version.", help=f"Write {text}:N, or {text}@ALIAS.")
    return model, version


def is_reference(text: str) -> bool:
    """Whether a text has the form of a version's reference, and not of a path."""
    return re.fullmatch(rf"{PATTERN.pattern}(:[1-9][0-9]{{0,8}}|@{PATTERN.pattern})", text) is not None


def check_alias(name: str) -> str:
    """Return `name` when an alias may be called so, else raise InvalidName."""
    check_name(name, "alias")
    if name == LATEST or name.isdecimal():
        raise InvalidName(f"{name!a} cannot be an alias.", help=f"A number and {LATEST!r} mean something else.")
    return name
