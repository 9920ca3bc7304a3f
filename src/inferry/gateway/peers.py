"""Peers: gateway processes that serve the same ports, and what all of them counted.

Each counts only the requests that reached it, so the one that is asked for counts asks the others: a connection to
each private socket, Ask (one JSON line) -> Told (one JSON line), all at once. One that is gone or does not answer in
time is left out. A gateway that is alone asks nobody and has no socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from inferry.gateway.core import Core
from inferry.gateway.scrape import scrape
from inferry.gateway.statistics import Counted, add, counted
from inferry.telemetry.metrics import Labels, family, merge

log = logging.getLogger(__name__)

BOUND_S = 1.0
LINE_LIMIT = 64 << 20


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A question. `name`: of the endpoint whose statistics are asked for, empty for all."""

    what: Literal["metrics", "statistics"]
    name: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: `text` to metrics, `counted` to statistics."""

    text: str = ""
    counted: tuple[Counted, ...] = ()


_ASK = msgspec.json.Decoder(Ask)
_TOLD = msgspec.json.Decoder(Told)


class Peers:
    """What all gateways counted. `number`: of this one; `sockets`: of all, this one's among them, by their numbers.
    Without sockets this one is alone."""

    def __init__(self, core: Core, number: int = 1, sockets: Mapping[int, Path] | None = None) -> None:
        self._core = core
        self._number = number
        self._sockets = dict(sockets or {})
        self._others = {other: path for other, path in self._sockets.items() if other != number}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer the others."""
        if self._others:
            path = self._sockets[self._number]
            path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, path)

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()

    async def metrics(self) -> str:
        """The Prometheus text of all gateways; each sample says whose it is when there are several."""
        if not self._others:
            return scrape(self._core)
        told = await self._ask(Ask(what="metrics"))
        present = ((gateway(other), int(other in told or other == self._number)) for other in sorted(self._sockets))
        up = family("inferry_gateway_up", "gauge", "Whether this page holds what the gateway counted.", present)
        texts = {other: answer.text for other, answer in told.items()}
        texts[self._number] = scrape(self._core, gateway(self._number))
        return merge(["\n".join(up), *(text for _, text in sorted(texts.items()))])

    async def counted(self, name: str) -> list[Counted]:
        """What all gateways counted of an endpoint's revisions, or of all endpoints' when `name` is empty."""
        told = await self._ask(Ask(what="statistics", name=name)) if self._others else {}
        own = counted(self._core.metrics, name)
        return add([*own, *(one for answer in told.values() for one in answer.counted)])

    async def _ask(self, ask: Ask) -> dict[int, Told]:
        """The answers of the others, by number, of those that answer in time."""
        line = msgspec.json.encode(ask) + b"\n"
        answers = await asyncio.gather(*(self._told(other, path, line) for other, path in self._others.items()))
        return {other: told for other, told in zip(self._others, answers, strict=True) if told is not None}

    async def _told(self, other: int, path: Path, line: bytes) -> Told | None:
        try:
            async with asyncio.timeout(BOUND_S):
                return await exchange(path, line)
        except (OSError, ValueError, msgspec.MsgspecError) as error:  # a TimeoutError is an OSError
            log.warning("gateway %d does not say what it counted: %r", other, error)
            return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(BOUND_S):
                ask = _ASK.decode(await reader.readline())
                writer.write(msgspec.json.encode(self._answer(ask)) + b"\n")
                await writer.drain()
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            log.warning("what another gateway asked could not be answered: %r", error)
        finally:
            writer.close()

    def _answer(self, ask: Ask) -> Told:
        if ask.what == "metrics":
            return Told(text=scrape(self._core, gateway(self._number)))
        return Told(counted=tuple(counted(self._core.metrics, ask.name)))


def gateway(number: int) -> Labels:
    """The label of one gateway's samples."""
    return (("gateway", str(number)),)


async def exchange(path: Path, line: bytes) -> Told:
    """One question, one answer. Raises OSError when nobody is there, DecodeError or ValueError when it is no answer."""
    reader, writer = await asyncio.open_unix_connection(path, limit=LINE_LIMIT)
    try:
        writer.write(line)
        return _TOLD.decode(await reader.readline())
    finally:
        writer.close()
