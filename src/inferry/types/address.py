"""Addresses of replicas: a unix socket's path on this machine, or `tcp://HOST:PORT` on any."""

from __future__ import annotations

from typing import NamedTuple

from inferry.errors import InvalidInput

TCP = "tcp://"


class TcpAddress(NamedTuple):
    """Where a replica of another machine listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it stands in a routing table."""
        return f"{TCP}[{self.host}]:{self.port}" if ":" in self.host else f"{TCP}{self.host}:{self.port}"


def read_address(text: str) -> TcpAddress | None:
    """The TCP address that a text names, None for the path of a unix socket. Raises InvalidInput."""
    if not text.startswith(TCP):
        return None
    host, _, port = text.removeprefix(TCP).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidInput(f"{text[:80]!a} is no address of a replica.", help="It looks like tcp://10.0.0.7:41234.")
    return TcpAddress(host, int(port))
