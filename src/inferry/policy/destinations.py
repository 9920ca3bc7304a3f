"""Destinations: which addresses a webhook may have. Pure: names are resolved elsewhere.

Data flow: URL -> `check_url` when it is added. Its host, resolved -> `refused` before each connection, so that a name
that points elsewhere by then does not get through.

Addresses of a network of one's own are fine: that is where most receivers are. What hands out a machine's credentials
to whoever asks from it (169.254.169.254 and its like) never is.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from inferry.errors import InvalidInput

MAX_URL = 2000
METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)
"""What clouds answer at, beside the link-local addresses."""


def check_url(url: str, *, allow_http: bool) -> str:
    """The URL, when it may be a webhook's. Raises InvalidInput."""
    help = "Give https://HOST/PATH."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidInput(f"This is not a URL: {error}.", help=help) from error
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput("The URL has characters that a URL cannot have, or is too long.", help=help)
    if parts.scheme not in ("https", "http") or not host:
        raise InvalidInput(f"A webhook cannot go to {url[:80]!a}.", help=help)
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            "A URL with a user or password would be shown to many.", help="Verify the signature instead."
        )
    if parts.fragment:
        raise InvalidInput("The part behind # is never sent.", help="Leave it out.")
    literal = _literal(host)
    if literal is not None:
        why = refused(str(literal), secure=secure(parts, allow_http=allow_http))
        if why:
            raise InvalidInput(f"A webhook cannot go to {host}: {why}.", help=help)
    elif not secure(parts, allow_http=allow_http) and host != "localhost" and not host.endswith(".localhost"):
        raise InvalidInput(
            "Over http anybody on the way can read the events.",
            help="Use https, or say that it is meant: --allow-http.",
        )
    return url


def secure(parts: SplitResult, *, allow_http: bool) -> bool:
    """Whether it may go beyond this machine."""
    return parts.scheme == "https" or allow_http


def refused(address: str, *, secure: bool) -> str:
    """Why nothing is sent to an address ("": it may be). `secure`: it may go beyond this machine."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or _nat64(found) or found
    if found.is_link_local or found in METADATA:
        return "link-local and metadata addresses are refused"
    if found.is_unspecified or found.is_multicast or (found.is_reserved and not found.is_loopback):
        return "it is no address of a receiver"
    if not secure and not found.is_loopback:
        return "http goes to this machine only, unless the webhook was added with --allow-http"
    return ""


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    inside = address in ipaddress.ip_network("64:ff9b::/96")
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if inside else None


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
