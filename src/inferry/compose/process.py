"""What every process of the platform does first: private files, a log, a lifeline, a word when ready."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import uvicorn
import uvloop

from inferry.compose.settings import READY, ControlSettings, GatewaySettings, JobsSettings
from inferry.errors import InferryError

LOG_BYTES = 10 << 20
DATE_S = 1.0

T = TypeVar("T", GatewaySettings, ControlSettings, JobsSettings)


def configure_logging(path: Path) -> None:
    """Log to a file of this process's own, kept under 20 MB."""
    os.umask(0o077)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("httpx", "alembic", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class HttpServer(uvicorn.Server):
    """A uvicorn server that closes `others`, which listen elsewhere, along with its own listeners."""

    others: Sequence[asyncio.Server] = ()

    def __init__(self, config: uvicorn.Config) -> None:
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        self._ends = False
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        """Whether to end: signals say so, and whoever has the server."""
        return self._ends

    @should_exit.setter
    def should_exit(self, yes: bool) -> None:
        self._ends = yes
        if yes:
            with contextlib.suppress(RuntimeError):  # it has ended, and its loop with it
                self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """Until it is told to end. Uvicorn's looks ten times a second; here once is enough, for the answers' dates."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), DATE_S)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets=sockets)
        self.servers += self.others


def http_server(
    app: Any, *, http: Literal["httptools"] | type[asyncio.Protocol], keep_alive_s: float, drain_s: float
) -> HttpServer:
    """A server for one of our processes, which make their own loop and log."""
    config = uvicorn.Config(
        app,
        http=http,
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(keep_alive_s),
        timeout_graceful_shutdown=int(drain_s),
    )
    return HttpServer(config)


def on_lifeline(loop: asyncio.AbstractEventLoop, descriptor: int, action: Callable[[], None]) -> None:
    """Act when the supervisor is gone: its end of the pipe closes with it, however it died."""
    loop.add_reader(descriptor, action)


def announce(descriptor: int, word: bytes = READY) -> None:
    """Tell the supervisor that this process is ready, or in a sentence why it will not be."""
    with contextlib.suppress(OSError):  # told already, or nobody waits any more
        say(descriptor, word)
        os.close(descriptor)


def say(descriptor: int, word: bytes) -> None:
    """Tell the supervisor why this process is not ready yet; it may say more."""
    with contextlib.suppress(OSError):  # nobody waits any more
        os.write(descriptor, word)


def run(name: str, kind: type[T], serve: Callable[[T], Coroutine[None, None, int | None]]) -> None:
    """A process of the platform, from its command line to its end, with the exit code that `serve` gives."""
    settings = msgspec.json.decode(sys.argv[1], type=kind)
    configure_logging(Path(settings.home) / "logs" / f"{getattr(settings, 'log', name)}.log")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            code = runner.run(serve(settings))
        except InferryError as error:
            logging.getLogger(__name__).critical("%s", error.sentence())
            announce(settings.ready, error.sentence().encode())
            sys.exit(1)
    sys.exit(code)
