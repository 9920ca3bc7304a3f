"""Proof that rows may be stacked, and what that saves: what makes dynamic batching safe and worth it.

Data flow: example inputs -> a few rows with distinct values -> predicted one by one and
stacked -> compared. A free first dimension alone says nothing: it may be time, or a
model may normalise over it. `batch_curve` then times calls of 1, 2, 4, ... rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from inferry.errors import InferryError, InvalidInput, InvalidModel, ModelFailed
from inferry.runtimes.tensors import Array, rows_of, take
from inferry.types.signature import TensorSpec

Predict = Callable[[dict[str, Array]], dict[str, Array]]

CURVE_ROWS = (1, 2, 4, 8, 16, 32, 64)
CURVE_S, LONGEST_S, TURNS, ENOUGH_RUNS = 1.0, 0.1, 4, 5

_RELATIVE = {2: 1e-2, 4: 1e-5, 8: 1e-5}  # by bytes of a float


def proven_batchable(
    predict: Predict, specs: Sequence[TensorSpec], inputs: Mapping[str, Array], *, by_contract: bool = False
) -> bool:
    """Whether stacked rows get the same answers as rows alone.

    `by_contract`: the framework promises independent rows, so a model that answers the same
    to every row is believed. Otherwise such a model proves nothing and is not batched.
    """
    if not specs or any(not spec.shape or spec.shape[0] != -1 for spec in specs) or not rows_of(inputs):
        return False
    held, told_apart = False, by_contract
    for trial in _trials(inputs):
        try:
            alone = [predict(take(trial, [row])) for row in range(rows_of(trial))]
            stacked = predict(dict(trial))
        except Exception:  # noqa: BLE001, S112  a made-up row may be refused: another trial must prove it
            continue
        if not _same(alone, stacked):
            return False
        held = True
        told_apart = told_apart or _distinct(stacked)
    return held and told_apart


def answer_example(predict: Predict, inputs: dict[str, Array]) -> dict[str, Array]:
    """The answer to the example. Raises InvalidModel, with what to give instead, where there is none."""
    try:
        return predict(inputs)
    except (ModelFailed, InvalidInput) as error:
        raise InvalidModel(
            f"The model could not answer the example. {error.message}",
            help="Give a sample file with inputs like those it was trained on.",
        ) from error


def batch_curve(predict: Predict, inputs: Mapping[str, Array]) -> dict[str, float]:
    """Microseconds of one call by its number of rows: the best of a few, within about a second in all.

    The sizes take turns, so that a moment in which the machine is slow meets all of them. They end at one that takes
    long, and where a made-up size is refused.
    """
    best: dict[int, float] = {}
    started = time.perf_counter()
    for turn in range(TURNS):
        for rows in tuple(best) if turn else CURVE_ROWS:
            batch = take(inputs, [row % rows_of(inputs) for row in range(rows)])
            try:
                if not turn:
                    predict(batch)  # to warm up
                took = _shortest(predict, batch)
            except InferryError:
                break
            best[rows] = min(took, best.get(rows, took))
            if time.perf_counter() - started > CURVE_S:
                return _microseconds(best)
            if not turn and took > LONGEST_S:
                break
    return _microseconds(best)


def _shortest(predict: Predict, batch: dict[str, Array]) -> float:
    """The shortest of a few calls, in seconds."""
    best, spent, runs = math.inf, 0.0, 0
    while not runs or (runs < ENOUGH_RUNS and spent < CURVE_S / len(CURVE_ROWS) / TURNS):
        before = time.perf_counter()
        predict(batch)
        took = time.perf_counter() - before
        best, spent, runs = min(best, took), spent + took, runs + 1
    return best


def _microseconds(best: Mapping[int, float]) -> dict[str, float]:
    return {str(rows): round(seconds * 1e6, 1) for rows, seconds in best.items()}


def _trials(inputs: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    rows = rows_of(inputs)
    if rows > 1:
        yield take(inputs, sorted({round(at) for at in np.linspace(0, rows - 1, 4)}))
    first = take(inputs, [0, 0, 0])
    if any(array.dtype.kind == "f" for array in first.values()):
        yield {name: _scaled(array) if array.dtype.kind == "f" else array for name, array in first.items()}
    yield {name: _shifted(array) for name, array in first.items()}
    yield first


def _scaled(array: Array) -> Array:
    factors = np.array([1.0, -0.7, 2.3]).reshape(3, *([1] * (array.ndim - 1)))
    offsets = np.array([0.0, 0.5, -0.3]).reshape(factors.shape)
    return np.asarray(array * factors + offsets, dtype=array.dtype)


def _shifted(array: Array) -> Array:
    """Values stay in their domain (token ids, categories): row n has them moved by n."""
    if array.ndim == 1:
        return array
    return np.stack([np.roll(array[row], row, axis=-1) for row in range(len(array))])


def _same(alone: Sequence[Mapping[str, Array]], stacked: Mapping[str, Array]) -> bool:
    for name, together in stacked.items():
        parts = [answer.get(name) for answer in alone]
        if together.ndim == 0 or len(together) != len(alone):
            return False
        for row, part in enumerate(parts):
            if part is None or part.shape != (1, *together.shape[1:]) or part.dtype != together.dtype:
                return False
            if not _close(part[0], together[row], together):
                return False
    return bool(stacked)


def _close(one: Array, other: Array, whole: Array) -> bool:
    if whole.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    relative = _RELATIVE.get(whole.dtype.itemsize, 1e-5)
    finite = np.abs(whole[np.isfinite(whole)])
    absolute = 0.1 * relative * float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(one, other, rtol=relative, atol=absolute, equal_nan=True))


def _distinct(stacked: Mapping[str, Array]) -> bool:
    return any(not _close(array[0], array[row], array) for array in stacked.values() for row in range(1, len(array)))
