"""Signatures of webhooks, by the scheme of Standard Webhooks (https://www.standardwebhooks.com). Pure.

Data flow: (secrets, id, seconds, body) -> `sign` -> the header `webhook-signature`: for each secret `v1,` and the
base64 of HMAC-SHA256 over "id.seconds.body". The header with a secret -> `fits`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable

from inferry.errors import InvalidInput

PREFIX = "whsec_"
SIZES = range(24, 65)
"""Bytes of a secret."""


def secret_bytes(text: str) -> bytes:
    """The key that a secret's text stands for. Raises InvalidInput, which does not show the text."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True) if text.startswith(PREFIX) else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in SIZES:
        raise InvalidInput(
            f"This is not a webhook's secret: {PREFIX} and {SIZES[0]} to {SIZES[-1]} bytes in base64.",
            help="Leave it out to have one made, or make one: echo whsec_$(openssl rand -base64 32)",
        )
    return key


def secret_text(key: bytes) -> str:
    """A key as it is shown and given."""
    return PREFIX + base64.b64encode(key).decode()


def sign(keys: Iterable[bytes], id: str, at: int, body: bytes) -> str:
    """The signatures, one for each key."""
    return " ".join(f"v1,{base64.b64encode(_digest(key, id, str(at), body)).decode()}" for key in keys)


def fits(header: str, keys: Iterable[bytes], id: str, at: str, body: bytes) -> bool:
    """Whether one of the signatures is by one of the keys. Compares in constant time."""
    given = [part[3:] for part in header.split() if part.startswith("v1,")]
    made = [base64.b64encode(_digest(key, id, at, body)) for key in keys]
    return any(hmac.compare_digest(one.encode("utf-8", "replace"), other) for one in given for other in made)


def _digest(key: bytes, id: str, at: str, body: bytes) -> bytes:
    return hmac.digest(key, b".".join([id.encode("utf-8", "replace"), at.encode("utf-8", "replace"), body]), "sha256")
