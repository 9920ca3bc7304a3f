"""The models' rows and loads: what is asked of every server, in which encoding, over how many connections."""

from __future__ import annotations

import json
from dataclasses import dataclass

from bench.peers.models import FOLDER, model_file
from bench.peers.wire import Row, random_row


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One load on a model."""

    encoding: str
    connections: int


SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "tiny": tuple(Scenario(encoding="json", connections=number) for number in (1, 16, 64)),
    "mlp": (
        Scenario(encoding="json", connections=1),
        Scenario(encoding="json", connections=64),
        Scenario(encoding="binary", connections=64),
    ),
    "image": tuple(Scenario(encoding="binary", connections=number) for number in (1, 16)),
    "table": tuple(Scenario(encoding="json", connections=number) for number in (1, 64)),
}
STARTS = {"tiny": 3}
"""How often each server is started alone (else once): the median is its cold start."""


def row(model: str) -> Row:
    """The one row that every request on a model carries."""
    if model == "table":
        model_file(model)
        return Row(columns=json.loads((FOLDER / "table.json").read_text())[0])
    return {
        "tiny": Row(numbers=(5.1, 3.5, 1.4, 0.2), shape=(4,)),
        "mlp": random_row(512),
        "image": random_row(3, 224, 224),
    }[model]
