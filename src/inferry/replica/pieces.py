"""Pieces: a request with very many rows, run some rows at a time so that others are served in between.

Data flow: a call -> `run`, again and again, each with the next rows -> `whole`: the outputs of all rows.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from inferry.interfaces.codec import Call
from inferry.interfaces.runtime import LoadedModel
from inferry.replica.calls import check_rows, own


class Pieces:
    """One call in pieces. `spent_us`: how long the model computed so far."""

    def __init__(self, call: Call) -> None:
        self.spent_us = 0
        self._call = call
        self._inputs = own(call)
        self._done = 0
        self._outputs: list[dict[str, Any]] = []

    def run(self, model: LoadedModel, rows: int) -> bool:
        """Run at most the next `rows` rows; whether more are left. Raises what the model raises."""
        start = time.monotonic_ns()
        stop = min(self._done + rows, self._call.rows)
        outputs = model.predict({name: array[self._done : stop] for name, array in self._inputs.items()})
        check_rows(outputs, stop - self._done)
        self._outputs.append(outputs)
        self._done = stop
        self.spent_us += (time.monotonic_ns() - start) // 1000
        return stop < self._call.rows

    def whole(self) -> dict[str, Any]:
        """The outputs of all rows."""
        return {name: np.concatenate([piece[name] for piece in self._outputs]) for name in self._outputs[-1]}
