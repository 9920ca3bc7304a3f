"""The server of a process: it is told to end, and does not look again and again whether it should."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx
import pytest

from inferry.compose import process
from inferry.compose.process import HttpServer, http_server


async def answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def by_word(server: HttpServer) -> None:
    server.should_exit = True


def by_signal(server: HttpServer) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("tell", [by_word, by_signal])
async def test_it_ends_when_it_is_told_however_long_it_would_sleep(
    tell: Callable[[HttpServer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "DATE_S", 3600.0)
    caught = []
    monkeypatch.setattr(signal, "raise_signal", caught.append)  # uvicorn hands a signal on when it has ended
    server = http_server(answer, http="httptools", keep_alive_s=1, drain_s=1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with httpx.AsyncClient() as client:
            answered = await client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        parsedate_to_datetime(answered.headers["date"])
        assert not server.should_exit
        tell(server)
        await asyncio.wait_for(serving, 30)
    assert caught == ([signal.SIGTERM] if tell is by_signal else [])
    assert server.should_exit


async def test_the_date_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "DATE_S", 0.01)
    monkeypatch.setattr("uvicorn.server.time.time", lambda: 0.0)
    server = http_server(answer, http="httptools", keep_alive_s=1, drain_s=1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            assert (await client.get("/")).headers["date"].endswith("00:00:00 GMT")
            monkeypatch.setattr("uvicorn.server.time.time", lambda: 5.0)
            while not (await client.get("/")).headers["date"].endswith("00:00:05 GMT"):
                await asyncio.sleep(0.01)
        server.should_exit = True
        await serving
