"""Leading: the seat that one control process holds at a time, and the permit that whoever acts asks for."""

from __future__ import annotations

from typing import Protocol

from inferry.types.lead import Lease, Seen


class Permit(Protocol):
    """The right to act for the platform. `epoch` goes along with every order, so that its receiver can tell an old
    leader's from a new one's; 0: there can be only one control process."""

    epoch: int

    def check(self) -> None:
        """Return when this process may act now. Raises Superseded."""
        ...

    def superseded(self, epoch: int) -> None:
        """Somebody has heard of a later epoch."""
        ...


class Alone:
    """The permit of the only one there can be."""

    epoch = 0

    def check(self) -> None:
        """Always."""

    def superseded(self, epoch: int) -> None:
        """Never."""


class Seat(Protocol):
    """The leader's row in the database. Every call is one transaction; raises Unavailable and Conflict."""

    def look(self) -> Seen:
        """The lease and the time."""
        ...

    def take(self, *, gone: int, known: int) -> Lease | None:
        """Lead from now on, in a new epoch; None when another was first. `gone`: the epoch whose holder is known to
        have ended (0: none); `known`: the highest epoch that this machine has seen."""
        ...

    def renew(self, epoch: int) -> bool:
        """Make the lease last anew; False when it is another's by now."""
        ...

    def release(self, epoch: int) -> None:
        """Let the lease run out now."""
        ...

    def standbys(self) -> list[str]:
        """Who waits to lead, by name."""
        ...
