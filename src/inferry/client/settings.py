"""Where the platform is and which key opens it: the one place that reads the environment.

Data flow: arguments, else environment, else the files that `inferry up` writes to its home
(`addresses.json`, `admin.key`), else the defaults -> Settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from inferry.errors import InvalidInput, Unauthorized

DEFAULT_HOME = "~/.inferry"
DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`control` and `http` are the two listeners; `http` is "" when it is still to be asked for."""

    home: Path
    control: str = DEFAULT_URL
    http: str = ""
    key: str = field(default="", repr=False)


def resolve(
    url: str | None = None,
    key: str | None = None,
    home: str | Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from arguments, the variables INFERRY_URL, INFERRY_API_KEY and INFERRY_HOME, and the home's files.

    The admin key in the home is this machine's: it is never sent to an address elsewhere.
    """
    folder = Path(home or environ.get("INFERRY_HOME") or DEFAULT_HOME).expanduser()
    known = _addresses(folder)
    given = url or environ.get("INFERRY_URL") or ""
    control = _checked(given or known.get("control") or DEFAULT_URL)
    found = key or environ.get("INFERRY_API_KEY") or ""
    if not found and _is_here(control, known):
        found = _key_file(folder)
    return Settings(home=folder, control=control, http="" if given else known.get("http", ""), key=found)


def _addresses(home: Path) -> dict[str, str]:
    """What `inferry up` wrote when it became ready; nothing when it never ran here."""
    try:
        written: dict[str, Any] = msgspec.json.decode((home / "addresses.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):  # not there or half written: the defaults serve
        return {}
    return {name: value.rstrip("/") for name, value in written.items() if isinstance(value, str)}


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"{url[:80]!a} is not an address.", help=f"Write it like {DEFAULT_URL}.")
    return url.rstrip("/")


def _is_here(url: str, known: Mapping[str, str]) -> bool:
    return url in known.values() or urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _key_file(home: Path) -> str:
    try:
        return (home / "admin.key").read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except PermissionError as error:
        raise Unauthorized(
            "The admin key of this machine belongs to another user.", help="Set INFERRY_API_KEY to a key of your own."
        ) from error
