"""Refusals: the gateway's own errors about a request, in words that say what to do."""

from __future__ import annotations

from inferry.errors import DeadlineExceeded, NotFound, Unavailable
from inferry.gateway.live import LiveEndpoint, Pending


def lost(message: str) -> Unavailable:
    """The error of a request whose replica died."""
    return Unavailable(message, help="Retry.", retry_after=1.0)


def too_late(pending: Pending) -> DeadlineExceeded:
    """The error of a request whose time is over."""
    waited = (pending.deadline - pending.start) / 1e6
    what = "No replica was ready" if pending.link is None else "The model did not answer"
    return DeadlineExceeded(
        f"{what} within {waited:g} s.", help="Send fewer rows, or allow more time with the header inferry-timeout."
    )


def no_endpoint(name: bytes) -> NotFound:
    """The error for a name that nobody serves, or for none where several are served."""
    if not name:
        return NotFound(
            "The request names no endpoint, and there is not exactly one.",
            help="Put its name into the path: /endpoints/NAME/invocations.",
        )
    shown = ascii(name.decode("latin-1")[:64])
    return NotFound(f"There is no endpoint {shown}.", help="List them with: inferry endpoints", endpoint=shown[1:-1])


def no_version(endpoint: LiveEndpoint, version: bytes) -> NotFound:
    """The error for a version that the endpoint does not serve now."""
    name, shown = endpoint.plan.name, ascii(version.decode("latin-1")[:16])
    serving = ", ".join(sorted(known.decode() for known in endpoint.by_version))
    return NotFound(
        f"Endpoint {name!r} does not serve version {shown}.",
        help=f"It serves version {serving}.",
        endpoint=name,
        version=shown[1:-1],
    )
