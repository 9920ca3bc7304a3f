"""API keys: minted once, kept only as a keyed hash, checked on every request.

Data flow: `mint` -> (Key to store, secret text shown once) -> the client sends the text as
`Authorization: Bearer inf_<id>_<secret>` -> `KeyRing.check` finds the Key by its id, hashes
the text with the server's pepper and compares in constant time -> `may` says whether the
key's role and endpoints allow an action.

A secret has 256 random bits, so a fast keyed hash is enough (slow ones are for passwords).
A new KeyRing is made with each routing table, so a revoked key is refused at once.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from hashlib import blake2b

from inferry.errors import InvalidInput, Unauthorized, Unavailable
from inferry.types.names import check_name
from inferry.types.registry import Key

PREFIX = "inf_"
ID_SIZE = 8
SECRET_SIZE = 43
TEXT_SIZE = len(PREFIX) + ID_SIZE + 1 + SECRET_SIZE
ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"

ACTIONS: Mapping[str, frozenset[str]] = {
    "admin": frozenset({"predict", "metadata", "metrics", "read", "write", "admin"}),
    "viewer": frozenset({"metadata", "metrics", "read"}),
    "invoker": frozenset({"predict", "metadata"}),
}
"""Role -> what it may do. Anything not listed is refused."""

HOW = "Send it in the header: Authorization: Bearer KEY."


def digest_of(text: str, pepper: bytes) -> str:
    """The keyed hash (BLAKE2b-256, hex) under which a key's text is stored."""
    return blake2b(text.encode(), digest_size=32, key=pepper).hexdigest()


def mint(
    name: str, role: str, endpoints: tuple[str, ...], expires: float, now: float, pepper: bytes
) -> tuple[Key, str]:
    """Make a key. The text is returned here and never again.

    `expires` is Unix seconds, 0 for never.
    """
    check_name(name, "key name")
    if role not in ACTIONS:
        raise InvalidInput(f"{role[:40]!a} is not a role.", help=f"Roles: {', '.join(sorted(ACTIONS))}.")
    if not endpoints:
        raise InvalidInput("A key needs at least one endpoint.", help='Use "*" for all of them.')
    for endpoint in endpoints:
        if endpoint != "*":
            check_name(endpoint, "endpoint name")
    if expires and expires <= now:
        raise InvalidInput("The key would already be expired.", help="Give a time that is still to come.")
    id = "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_SIZE))
    text = f"{PREFIX}{id}_{secrets.token_urlsafe(32)}"
    key = Key(
        id=id,
        name=name,
        role=role,
        digest=digest_of(text, pepper),
        endpoints=endpoints,
        created=now,
        expires=expires,
    )
    return key, text


def may(key: Key, action: str, endpoint: str | None = None) -> bool:
    """Whether the key's role allows `action` and, when one is named, its list the endpoint."""
    if action not in ACTIONS.get(key.role, ()):
        return False
    return endpoint is None or "*" in key.endpoints or endpoint in key.endpoints


class KeyRing:
    """The keys of one generation of the routing table, by id."""

    __slots__ = ("_keys", "_pepper")

    def __init__(self, keys: Mapping[str, Key], pepper: bytes) -> None:
        self._pepper = pepper
        self._keys = {id.encode(): (bytes.fromhex(key.digest), key.expires, key) for id, key in keys.items()}

    def check(self, authorization: bytes | str | None, now: float) -> Key:
        """The key that an Authorization header carries. Raises Unauthorized, and Unavailable while none is known."""
        if not authorization:
            raise Unauthorized("This needs an API key.", help=HOW)
        if isinstance(authorization, str):
            authorization = authorization.encode("utf-8", "replace")
        if authorization[:7] != b"Bearer ":
            scheme, _, rest = authorization.strip().partition(b" ")
            if scheme.lower() != b"bearer":
                raise Unauthorized("The Authorization header holds no API key.", help=HOW)
            authorization = b"Bearer " + rest
        text = authorization[7:].strip()
        known = self._keys.get(text[len(PREFIX) : len(PREFIX) + ID_SIZE]) if len(text) == TEXT_SIZE else None
        if known is None and not self._keys:
            raise Unavailable("This server knows no keys yet: it starts.", help="Retry in a moment.", retry_after=1.0)
        if known is None:
            raise Unauthorized("The API key is not known here.", help="It may have been revoked; ask for a new one.")
        digest, expires, key = known
        if not hmac.compare_digest(blake2b(text, digest_size=32, key=self._pepper).digest(), digest):
            raise Unauthorized("The API key is not known here.", help="It may have been revoked; ask for a new one.")
        if expires and now >= expires:
            raise Unauthorized("The API key has expired.", help="Ask for a new one.")
        return key
