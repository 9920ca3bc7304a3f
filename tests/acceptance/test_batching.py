"""Batching, on a real platform: mates never pay for each other."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.openloop import post
from tests.support.platform import Platform

MODEL = """
import time

import numpy as np


class Model:
    example = [[1.0, 2.0]]
    batchable = True

    def predict(self, x):
        if (x == -1.0).any():
            raise ValueError("poison")
        time.sleep(0.002)  # so that requests gather
        return x * 2
"""


@pytest.fixture(scope="module")
def endpoint(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("batched") / "batched.py"
    path.write_text(MODEL)
    made = platform.deploy(path, "batched")
    assert made["signature"]["batchable"], made
    return "batched"


async def ask_all(platform: Platform, endpoint: str, bodies: list, connections: int = 64) -> list[tuple[int, Any]]:
    """Status and parsed body of each request, so many at a time."""
    headers = {"authorization": f"Bearer {platform.key}"}
    url = f"{platform.http}/predict/{endpoint}"
    left = list(enumerate(bodies))[::-1]
    answers: list[Any] = [None] * len(bodies)

    async def client() -> None:
        target = urlsplit(platform.http)
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        while left:
            number, body = left.pop()
            writer.write(post(url, json.dumps({"inputs": body}).encode(), headers))
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            answers[number] = (int(head[9:12]), json.loads(await reader.readexactly(size)))
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return answers


def rows(answer: tuple[int, Any]) -> list:
    assert answer[0] == 200, answer
    return [row["output"] for row in answer[1]["predictions"]]


async def test_one_poisoned_request_in_a_thousand_fails_alone(platform: Platform, endpoint: str) -> None:
    bodies = [[[float(number), -1.0 if number % 1000 == 500 else 1.0]] for number in range(4000)]
    answers = await ask_all(platform, endpoint, bodies)
    for body, answer in zip(bodies, answers, strict=True):
        if body[0][1] == -1.0:
            assert (answer[0], answer[1]["error"]["code"]) == (500, "model_failed")
        else:
            assert rows(answer) == [[2 * body[0][0], 2.0]]
    metrics = platform.call("GET", "/metrics").text
    labels = 'endpoint="batched"'
    batched = [line for line in metrics.splitlines() if line.startswith("inferry_batched_total") and labels in line]
    assert sum(float(line.split()[-1]) for line in batched) > 2 * len(bodies)  # they did run together


async def test_requests_of_many_sizes_get_their_own_rows(platform: Platform, endpoint: str) -> None:
    bodies = [[[float(number), float(row)] for row in range(number % 7 + 1)] for number in range(300)]
    bodies.append([[float(row), 1.0] for row in range(5000)])
    for body, answer in zip(bodies, await ask_all(platform, endpoint, bodies), strict=True):
        assert rows(answer) == [[2 * a, 2 * b] for a, b in body]


async def test_who_leaves_takes_nobody_along(platform: Platform, endpoint: str) -> None:
    headers = {"authorization": f"Bearer {platform.key}"}

    async def leave() -> None:
        async with httpx.AsyncClient(timeout=0.003, headers=headers) as client:
            with pytest.raises(httpx.TimeoutException):
                await client.post(
                    f"{platform.http}/predict/{endpoint}", content=json.dumps({"inputs": [[1.0] * 2] * 90})
                )
                raise httpx.TimeoutException("it was quick enough")

    leaving = [asyncio.create_task(leave()) for _ in range(50)]
    bodies = [[[float(number), 1.0]] for number in range(200)]
    answers = await ask_all(platform, endpoint, bodies, connections=16)
    await asyncio.gather(*leaving)
    assert [rows(answer) for answer in answers] == [[[2.0 * number, 2.0]] for number in range(200)]
