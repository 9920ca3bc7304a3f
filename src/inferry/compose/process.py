"""What every process of the platform does first: private files, a log, a lifeline, a word when ready."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal

import uvicorn

LOG_BYTES = 10 << 20


def configure_logging(path: Path) -> None:
    """Log to a file of this process's own, kept under 20 MB."""
    os.umask(0o077)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("httpx", "alembic", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def http_server(
    app: Any, *, http: Literal["httptools"] | type[asyncio.Protocol], keep_alive_s: float, drain_s: float
) -> uvicorn.Server:
    """A uvicorn server for one of our processes, which make their own loop and log."""
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
    return uvicorn.Server(config)


def on_lifeline(loop: asyncio.AbstractEventLoop, descriptor: int, action: Callable[[], None]) -> None:
    """Act when the supervisor is gone: its end of the pipe closes with it, however it died."""
    loop.add_reader(descriptor, action)


def announce(descriptor: int) -> None:
    """Tell the supervisor that this process is ready."""
    os.write(descriptor, b"ready\n")
    os.close(descriptor)
