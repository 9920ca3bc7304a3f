"""Calls: how a model is asked when it is converted: by rows, or a whole call at a time.

Data flow: rows -> where rows may be stacked: one call of the model, a piece of them at a time. Where they may not
(one size only, or rows that influence each other), what is called a row is the input of a whole call, with an
axis in front, and its answers are stacked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np

from inferry.errors import InvalidInput, ModelFailed
from inferry.runtimes.tensors import Array, rows_of, take
from inferry.types.signature import Signature

PIECE = 64
RUNS, LONGEST_S = 15, 1.0


class Answering(Protocol):
    """Anything that predicts."""

    def predict(self, inputs: dict[str, Array]) -> Mapping[str, Array]:
        """Named arrays from named arrays."""
        ...


class Calls:
    """A model, asked by rows or by calls."""

    def __init__(self, model: Answering, signature: Signature) -> None:
        self._model = model
        self._by_row = by_row(signature)

    def wrapped(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs as the model takes them, as rows."""
        return dict(inputs) if self._by_row else {name: array[np.newaxis] for name, array in inputs.items()}

    def predict(self, rows: dict[str, Array]) -> dict[str, Array]:
        """The answers to rows. Raises as the model does."""
        if self._by_row:
            return dict(self._model.predict(rows))
        count = rows_of(rows)
        if not count:
            raise InvalidInput("There is no input.")
        answers = [self._model.predict({name: array[at] for name, array in rows.items()}) for at in range(count)]
        names = list(answers[0])
        try:
            return {name: np.stack([one[name] for one in answers]) for name in names}
        except (ValueError, KeyError):
            raise ModelFailed("Its answers differ in their sizes.") from None


def by_row(signature: Signature) -> bool:
    """Whether rows of several calls may be stacked."""
    return signature.batchable and all(spec.shape[:1] == (-1,) for spec in signature.inputs)


def pieces(rows: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Rows, as many at a time as a replica stacks."""
    count = rows_of(rows)
    for start in range(0, count, PIECE):
        yield take(rows, range(start, min(start + PIECE, count)))


def best_us(predict: Callable[[dict[str, Array]], object], inputs: dict[str, Array]) -> float:
    """Microseconds of the shortest of a few calls."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < RUNS and sum(times) < LONGEST_S):
        before = time.perf_counter()
        predict(inputs)
        times.append(time.perf_counter() - before)
    return round(min(times) * 1e6, 1)
