"""Traffic with its truth: predictions under ids of their own, and feedback for them a moment later.

rows and what is true of them -> one thread for each endpoint -> POST /predict with an id, POST /feedback in batches.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import httpx


class Feeder:
    """`with Feeder(platform, "name", truth, rate=40)`: `truth` says of x in [0, 1) what is true of it. `user`: how
    many users there are, sent as x-user. `failures`: answers other than 200; `versions`: answers by version."""

    def __init__(
        self, platform: Any, endpoint: str, truth: Callable[[float], Any] | None, *, rate: float = 40.0,
        users: int = 0, item: Callable[[str, float, Any], dict[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        self.platform, self.endpoint, self.truth, self.rate, self.users = platform, endpoint, truth, rate, users
        self.item = item
        self.failures: list[str] = []
        self.versions = Counter[str]()
        self.sent = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feeder of {endpoint}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        rng = random.Random(self.endpoint)
        headers = {"authorization": f"Bearer {self.platform.key}"}
        items: list[dict[str, Any]] = []
        began = time.monotonic()
        with httpx.Client(base_url=self.platform.http, headers=headers, timeout=30) as client:
            while not self._end.is_set():
                x, id = rng.random(), f"{self.endpoint}-{self.sent}"
                named = {"x-request-id": id}
                if self.users:
                    named["x-user"] = f"u{rng.randrange(self.users)}"
                answer = client.post(f"/predict/{self.endpoint}", json={"x": x}, headers=named)
                self.sent += 1
                self.versions[answer.headers.get("inferry-version", "")] += 1
                if answer.status_code != 200:
                    self.failures.append(answer.text)
                elif self.item is not None:
                    items.append(self.item(id, x, answer))
                elif self.truth is not None:
                    items.append({"request_id": id, "truth": self.truth(x)})
                if len(items) >= 20:
                    told = client.post("/feedback", json=items)
                    if told.status_code != 503:
                        items = []
                time.sleep(max(0.0, began + self.sent / self.rate - time.monotonic()))
