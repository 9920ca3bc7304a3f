"""Identity: what a process shows to others of its platform on other machines, and what it trusts."""

from __future__ import annotations

import msgspec


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """PEM texts: the authority that is trusted, the process's own certificate, and the key of that."""

    authority: str
    certificate: str
    key: str

    def __repr__(self) -> str:
        """Without the key."""
        return "Identity(...)"
