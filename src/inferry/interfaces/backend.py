"""Backend: where replicas run. Control speaks to it, the gateway only to the sockets it yields."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from inferry.types.conversion import CheckTask, Converted, ConvertTask
from inferry.types.density import Held
from inferry.types.frames import Reply
from inferry.types.replicas import InspectTask, ReplicaSpec, ReplicaStatus
from inferry.types.signature import Inspection


class Replica(Protocol):
    """A running copy that has loaded its model. `gone` is done, with the reason, once it died. `stopping`: it was told
    to end."""

    spec: ReplicaSpec
    socket: str
    status: ReplicaStatus
    gone: asyncio.Future[str]
    stopping: bool

    async def ask(self, door: int, name: bytes, body: bytes, timeout: float) -> Reply:
        """Send one prediction the way the gateway does. Raises DeadlineExceeded or Unavailable."""
        ...

    async def alive(self, timeout: float) -> bool:
        """Whether it answers a status request in time."""
        ...

    async def stop(self) -> None:
        """Ask it to finish what it has and exit."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def held(self) -> Held | None:
        """The memory that only it holds, None when that cannot be told."""
        ...

    def shared(self) -> int:
        """Bytes of its bundle's files that it has mapped together with others."""
        ...


class Backend(Protocol):
    """Starts replicas and inspections."""

    async def prepare(self, environment: str, runtime: str) -> None:
        """Have ready what makes the start of a copy quick. Raises EnvironmentFailed."""
        ...

    async def start(self, spec: ReplicaSpec) -> Replica:
        """Start a copy and wait until its model is loaded. Raises InvalidModel with the reason when it dies."""
        ...

    async def adopt(self) -> Sequence[Replica]:
        """Replicas that an earlier control process left running."""
        ...

    async def inspect(self, task: InspectTask, environment: str) -> Inspection:
        """Load and describe a model in the sandbox. Raises InvalidModel with the reason."""
        ...

    async def convert(self, task: ConvertTask | CheckTask, environment: str) -> Converted:
        """Do one half of a conversion in the sandbox. Raises InvalidModel with the reason."""
        ...

    async def close(self) -> None:
        """The platform stops: let go of connections, and end what would not end with it by itself."""
        ...
