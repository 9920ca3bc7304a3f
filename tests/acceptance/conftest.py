"""What the bad-input tests share: two endpoints, keys of every kind, and a good request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import models, uploads
from tests.support.platform import Platform
from tests.support.refusals import Answer, Case, check, request, speak

GOOD_ROW = {"age": 41, "income": 3.5, "job": "nurse", "member": True}


@dataclass(frozen=True)
class Target:
    """The platform with the endpoints `table` and `tensor`, and the keys that cases name."""

    platform: Platform
    keys: dict[str, str]

    def url(self, case: Case) -> str:
        return self.platform.control if case.control else self.platform.http

    def send(self, case: Case) -> Answer | None:
        wire = request(case.method, case.path, case.content(), case.headers, self.keys.get(case.key, case.key))
        return speak(self.url(case), wire)

    def refuses(self, case: Case) -> dict[str, str]:
        """The case is refused as it says, and the next good request succeeds."""
        words = check(self.send(case), case.status, case.code, case.form)
        self.still_serves()
        return words

    def still_serves(self) -> None:
        table = self.ask("/predict/table", [GOOD_ROW])
        assert table["predictions"][0]["label"] in ("no", "yes")
        tensor = self.ask("/predict/tensor", models.IRIS_ROWS)
        assert [row["label"] for row in tensor["predictions"]] == models.IRIS_KINDS
        control = self.send(Case("info", "GET", "/v1/info", 200, "", control=True))
        assert control is not None
        assert control.status == 200, control.body

    def ask(self, path: str, body: Any) -> Any:
        answer = self.send(Case("good", "POST", path, 200, "", body))
        assert answer is not None, "the connection was closed without an answer"
        assert answer.status == 200, answer.body
        return answer.json()


@pytest.fixture(scope="session")
def target(platform: Platform, model_dir: Path) -> Target:
    trained = models.jobs(model_dir)
    uploads.deployed(platform, "tensor", uploads.model(models.iris_onnx(model_dir)))
    uploads.deployed(platform, "table", uploads.model(trained, trained.with_suffix(".csv")))
    make = key_maker(platform)
    keys = {
        "admin": platform.key,
        "viewer": make("bad-viewer", "viewer"),
        "invoker": make("bad-invoker", "invoker"),
        "limited": make("bad-limited", "invoker", endpoints=["tensor"]),
        "expired": make("bad-expired", "admin", expires_s=0.05),
        "revoked": make("bad-revoked", "admin"),
    }
    assert platform.call("DELETE", "/v1/keys/bad-revoked", control=True).status_code == 204
    time.sleep(0.1)
    return Target(platform, keys)


def key_maker(platform: Platform) -> Callable[..., str]:
    def make(name: str, role: str, **options: object) -> str:
        answer = platform.call("POST", "/v1/keys", control=True, json={"name": name, "role": role, **options})
        assert answer.status_code == 201, answer.text
        return answer.json()["key"]

    return make
