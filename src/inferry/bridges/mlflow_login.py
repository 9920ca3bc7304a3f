"""How MLflow's own clients say who they are, and how an address says it.

Data flow: tracking URL + environment + ~/.mlflow/credentials -> Server: address without secrets, headers, TLS.
"""

from __future__ import annotations

import base64
import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from inferry.errors import InvalidInput

YES = {"1", "true", "yes"}


@dataclass(frozen=True, kw_only=True)
class Server:
    """A tracking server. `authorization`: the header's value, "" without one. `verify`: whether its certificate is
    checked, and by what file when not by the system's."""

    url: str
    authorization: str = field(default="", repr=False)
    verify: bool | str = True


def server_of(url: str, environ: Mapping[str, str], home: Path) -> Server:
    """The server at an address, "" for MLFLOW_TRACKING_URI, with what the environment says of it.

    As with MLflow, a user and password come before a token, and the environment before the file. Those of the address
    come before all. Raises InvalidInput.
    """
    said = url or environ.get("MLFLOW_TRACKING_URI", "")
    parts = _checked(said)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user:
        kept = _file(home / ".mlflow/credentials")
        user = environ.get("MLFLOW_TRACKING_USERNAME") or kept.get("mlflow_tracking_username", "")
        password = environ.get("MLFLOW_TRACKING_PASSWORD") or kept.get("mlflow_tracking_password", "")
    token = environ.get("MLFLOW_TRACKING_TOKEN", "")
    authorization = ""
    if user and password:
        authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    elif token:
        authorization = f"Bearer {token.strip()}"
    insecure = environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in YES
    return Server(
        url=urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", "")),
        authorization=authorization,
        verify=False if insecure else environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True,
    )


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        shown = ascii(url.rpartition("@")[2][:80])
        raise InvalidInput(
            f"{shown} is not the address of an MLflow tracking server.",
            help="Write it like http://127.0.0.1:5000, or set MLFLOW_TRACKING_URI.",
        )
    return parts


def _file(path: Path) -> Mapping[str, str]:
    """The section of MLflow's own file; nothing when there is none."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
        return dict(parser["mlflow"])
    except (configparser.Error, KeyError, OSError, UnicodeDecodeError):
        return {}
