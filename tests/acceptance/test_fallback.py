"""A deploy that was answered for and then crashes: the endpoint returns to what it served before."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx

from tests.support import models
from tests.support.platform import Platform
from tests.support.processes import wait_until

SOUND = "class Model:\n    def predict(self, inputs):\n        return {'y': [1.0] * len(inputs['x'])}\n"
FRAGILE = """
import os

class Model:
    def predict(self, inputs):
        if inputs["x"][0] < 0:
            os._exit(7)
        return {"y": [2.0] * len(inputs["x"])}
"""


def deploy(platform: Platform, folder: Path, name: str, body: str, *arguments: str) -> None:
    file = models.python_file(folder / name, name.replace("-", "_"), body)
    platform.deploy(file, name, *arguments, sample=models.column_sample(folder / name, "x", [1.0]))


def version(platform: Platform, name: str, x: float) -> str:
    """Who answers; "" when nobody does."""
    try:
        answer = platform.call("POST", f"/predict/{name}", json={"x": x}, headers={"inferry-timeout": "10"})
    except httpx.HTTPError:
        return ""
    return answer.headers.get("inferry-version", "") if answer.status_code == 200 else ""


def test_a_revision_that_crashes_again_and_again_is_given_up_for_the_one_before(platform, tmp_path) -> None:
    deploy(platform, tmp_path, "falls", SOUND)
    deploy(platform, tmp_path, "falls", FRAGILE)
    assert version(platform, "falls", 1) == "2", "all is well until somebody asks for that"
    wait_until(lambda: version(platform, "falls", -1) == "1", 120, "the revision before answers it")
    assert version(platform, "falls", -1) == "1"
    told = platform.call("GET", "/v1/endpoints/falls", control=True).json()["fell_back"]
    assert (told["from_revision"], told["to_revision"]) == (2, 1)
    why = re.fullmatch(r"its replicas died (\d+) times in a row, the last by exit code 7", told["why"])
    assert why, told["why"]
    assert 3 <= int(why[1]) <= 5, "on a busy machine one more dies before the third death is seen"
    described = platform.run("describe", "falls").stdout
    assert "from revision 2 to 1, since its replicas died" in described
    deploy(platform, tmp_path, "falls", FRAGILE.replace("os._exit(7)", "pass"))
    assert version(platform, "falls", -1) == "3"
    assert "fell back" not in platform.run("describe", "falls").stdout


def test_one_that_has_nothing_to_go_back_to_is_tried_on(platform, tmp_path) -> None:
    deploy(platform, tmp_path, "alone", FRAGILE)

    def died() -> int:
        version(platform, "alone", -1)
        return platform.call("GET", "/v1/endpoints/alone", control=True).json()["deaths"]

    wait_until(lambda: died() >= 4, 120, "it died more often than another one is given up for")
    time.sleep(1)
    wait_until(lambda: version(platform, "alone", 1) == "1", 60, "it is started again")
    assert platform.call("GET", "/v1/endpoints/alone", control=True).json()["fell_back"] is None
