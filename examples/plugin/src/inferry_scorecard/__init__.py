"""Scorecards: a CSV with the columns feature, from, below and points; the score is the sum of the points.

`recognise` tells the platform that a file is one, `ScorecardRuntime` answers with it.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.types.bundle import Detected
from inferry.types.signature import TensorSpec

HEADER = ["feature", "from", "below", "points"]


def recognise(tree: Tree) -> Detected | None:
    """A lone CSV file that begins with our header."""
    if tree.lone is None:
        return None
    with tree.lone.open("rb") as file:
        first = file.readline(1000).decode("utf-8", "replace").strip()
    if first != ",".join(HEADER):
        return None
    return Detected(runtime="scorecard", entry=tree.name(tree.lone), why="It is a scorecard.")


class ScorecardRuntime(ArrayRuntime):
    """The runtime plugin "scorecard"."""

    borrows = True

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Read the card; a column for each feature, NaN scores nothing."""
        with path.open(newline="") as file:
            rows = [
                (r["feature"], float(r["from"]), float(r["below"]), float(r["points"])) for r in csv.DictReader(file)
            ]
        if not rows:
            raise InvalidModel("The scorecard has no rows.")
        names = list(dict.fromkeys(feature for feature, *_ in rows))

        def score(inputs: dict[str, Any]) -> dict[str, Any]:
            total = np.zeros(len(inputs[names[0]]))
            for feature, low, high, points in rows:
                total += points * ((inputs[feature] >= low) & (inputs[feature] < high))
            return {"score": total}

        columns = [TensorSpec(name=name, datatype="FP64", shape=(-1,), nullable=True) for name in names]
        return Opened(call=score, inputs=columns, table=True, independent=True)
