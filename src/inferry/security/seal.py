"""Sealed secrets: small secrets that the platform must be able to read again, worthless without its pepper.

Data flow: secret -> `seal` -> text for the database -> `unseal` with the same pepper, or InternalError when the text
was changed or another platform's.

A pad that is used once (BLAKE2b keyed with the pepper, of a random nonce and a counter) hides the secret; a tag over
both shows changes. That is all a signing secret or a token needs, without a library of ciphers.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from hashlib import blake2b

from inferry.errors import InternalError

MOST, BLOCK = 2048, 64
NONCE, TAG = 16, 16


def seal(secret: bytes, pepper: bytes) -> str:
    """A secret of at most MOST bytes, hidden."""
    if len(secret) > MOST:
        raise ValueError(f"a secret of {len(secret)} bytes cannot be sealed")
    nonce = secrets.token_bytes(NONCE)
    hidden = _masked(secret, nonce, pepper)
    return base64.urlsafe_b64encode(nonce + _tag(nonce + hidden, pepper) + hidden).decode()


def unseal(text: str, pepper: bytes) -> bytes:
    """The secret again. Raises InternalError."""
    try:
        data = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        data = b""
    nonce, tag, hidden = data[:NONCE], data[NONCE : NONCE + TAG], data[NONCE + TAG :]
    if not hmac.compare_digest(tag, _tag(nonce + hidden, pepper)):
        raise InternalError(
            "A secret in the database cannot be read with this home's pepper.",
            help="Use the home that the database belongs to, or give it a new secret.",
        )
    return _masked(hidden, nonce, pepper)


def _masked(data: bytes, nonce: bytes, pepper: bytes) -> bytes:
    pad = b"".join(
        blake2b(nonce + number.to_bytes(4, "big"), digest_size=BLOCK, key=pepper, person=b"inferry-seal").digest()
        for number in range(-(-len(data) // BLOCK))
    )
    return bytes(one ^ other for one, other in zip(data, pad, strict=False))


def _tag(data: bytes, pepper: bytes) -> bytes:
    return blake2b(data, digest_size=TAG, key=pepper, person=b"inferry-seal-tag").digest()
