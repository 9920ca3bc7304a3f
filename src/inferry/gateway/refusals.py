"""Refusals: the gateway's own errors about a request, in words that say what to do."""

from __future__ import annotations

from inferry.errors import DeadlineExceeded, InferryError, NotFound, ReplicaLost, Unavailable
from inferry.gateway.head import Head
from inferry.gateway.live import LiveEndpoint, Pending


def lost(why: str = "", message: str = "The replica died while it computed this request.") -> ReplicaLost:
    """The error of a request whose replica died. `why`: what it was killed for, where that is known."""
    if why:
        return ReplicaLost(
            f"The replica was {why}, while it computed this request.",
            help="Send fewer rows at a time, or allow it more: inferry deploy --memory MB.",
            retry_after=1.0,
        )
    return ReplicaLost(message, help="Retry.", retry_after=1.0)


def asleep(message: str, left_s: float) -> Unavailable:
    """The error of a request that cannot wait until a replica has started, which takes about `left_s` more."""
    return Unavailable(
        message,
        help="Retry then, or keep one replica running: inferry scale NAME --min 1.",
        retry_after=max(1.0, left_s),
    )


def too_late(pending: Pending, *, asleep: bool = False) -> InferryError:
    """The error of a request whose time is over. `asleep`: it waited for a first replica to start."""
    waited = (pending.deadline - pending.start) / 1e6
    if asleep:
        return Unavailable(
            f"No replica of the endpoint had started within {waited:g} s.",
            help="Retry, or allow more time with the header inferry-timeout; inferry describe NAME shows the problem.",
            retry_after=1.0,
        )
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


def no_version(endpoint: LiveEndpoint, head: Head) -> NotFound:
    """The error for a version or a revision that does not run now."""
    name = endpoint.plan.name
    if head.revision:
        running = ", ".join(str(number) for number in sorted(endpoint.by_number))
        return NotFound(
            f"Endpoint {name!r} runs no revision {head.revision.decode('latin-1')[:16]!a}.",
            help=f"It runs revision {running}.",
            endpoint=name,
        )
    shown = ascii(head.version.decode("latin-1")[:16])
    serving = ", ".join(sorted(known.decode() for known in endpoint.by_version))
    return NotFound(
        f"Endpoint {name!r} does not serve version {shown}.",
        help=f"It serves version {serving}.",
        endpoint=name,
        version=shown[1:-1],
    )
