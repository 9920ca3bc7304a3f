"""Check rows: what a converted model is compared on: the sample's rows, and rows drawn around them.

Data flow: the sample's columns, and the values at which the model decides (where it says them) -> rows
mixed, moved, half way between neighbours, far outside, without a value -> one set of arrays. Rows of many
cells (pictures, sequences) are made of whole rows: crossed, turned, faded. The generator is seeded: the same sample
gives the same rows. `probes` are rows that a model may refuse, `resized` rows of other sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from inferry.runtimes.tensors import Array, take
from inferry.types.signature import TensorSpec

DRAWN, WIDE = 200, 400  # rows around a sample; without a sample there is no "around", so more and wider
STRANGE = "no-such-category"
WORDS = ("ÀÉÎ Öl STRASSE straße", "İstanbul ΑΣ 東京 naïve", "don't e-mail a.b@c.de x_1 42 3.14", "", "  A  b\tC\n")
LARGE = 1e39  # finite, but not in 32 bits
MAX_UNITS = 64
MANY = 1024  # cells of a row that are drawn one by one
MOST_VALUES, LEAST_ROWS = 1 << 23, 8
ALL = -1

Cuts = Mapping[str, Sequence[Array]]
"""Input name -> for each of its columns, the values at which the model decides."""


class Probe(NamedTuple):
    """One row with something that a model may refuse. `column`: of a matrix, -1 for a table's column."""

    kind: str
    input: str
    column: int
    row: dict[str, Array]


def draw(
    rows: Mapping[str, Array], specs: Sequence[TensorSpec], cuts: Cuts, *, sampled: bool, most: int = WIDE
) -> dict[str, Array]:
    """The rows themselves, then `most` at most that are drawn around them. Datatypes and ranks stay."""
    random = np.random.default_rng(0)
    count = min(most, DRAWN if sampled else WIDE)
    drawn = {}
    for spec in specs:
        array = rows[spec.name]
        picked = array[random.integers(0, len(array), count)]
        if array.dtype.kind == "O":
            made = _texts(array, picked, spec, random)
        elif array.dtype.kind == "b":
            made = picked ^ (random.random(picked.shape) < 0.2)
        elif spec.categories and array.dtype.kind in "iu":
            made = picked
        elif array.ndim > 2 or (array.dtype.kind in "iu" and array.ndim > 1) or array[0].size > MANY:
            made = drawn_whole(array, count, random, sampled=sampled)
        else:
            made = _numbers(array, picked, cuts.get(spec.name, ()), random, sampled=sampled)
        if spec.nullable:
            made = _without(made, random.random(count) < 0.1)
        drawn[spec.name] = made
    return {name: np.concatenate([rows[name], drawn[name]]) for name in drawn}


def probes(rows: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Iterator[Probe]:
    """Rows with a missing, infinite, large or unknown value in one place each, and no row at all."""
    one = take(rows, [0])
    yield Probe("empty", specs[0].name, ALL, take(rows, []))
    for spec in specs:
        array = one[spec.name]
        if array.dtype.kind == "f" and array.size:
            wide = array.dtype.itemsize > np.dtype(np.float32).itemsize
            places = units(array.shape[1]) if array.ndim == 2 else [ALL]
            for kind, value in (("nan", np.nan), ("infinite", np.inf), *([("large", LARGE)] if wide else [])):
                for column in places:
                    changed = array.copy()
                    changed.reshape(1, -1)[0, array.size // 2 if column == ALL else column] = value
                    yield Probe(kind, spec.name, column, {**one, spec.name: changed})
        elif array.dtype.kind == "i" and array.size and not spec.categories:
            for column in units(array.shape[1]) if array.ndim == 2 else [ALL]:
                changed = array.copy()
                changed.reshape(1, -1)[0, array.size // 2 if column == ALL else column] = -1
                yield Probe("negative", spec.name, column, {**one, spec.name: changed})
        elif array.dtype.kind == "O" and spec.categories:
            changed = array.copy()
            changed[0] = STRANGE
            yield Probe("unknown", spec.name, ALL, {**one, spec.name: changed})


def most_rows(rows: Mapping[str, Array], seconds: float, each: float) -> int:
    """How many rows there is time and room for, when one takes `each` seconds."""
    values = sum(int(array[:1].size) for array in rows.values())
    return max(LEAST_ROWS, min(int(seconds / max(each, 1e-9)), MOST_VALUES // max(values, 1)))


def resized(rows: Mapping[str, Array], specs: Sequence[TensorSpec], shift: int = 0) -> Iterator[dict[str, Array]]:
    """The rows with every free size cut in half, and doubled; nothing where no size but the rows' is free.

    `shift`: how many axes the rows have before the first of the specs.
    """
    free = {spec.name: [at + shift for at, size in enumerate(spec.shape) if size < 0 and at + shift > 0]
            for spec in specs}  # fmt: skip
    if any(free.values()):
        for factor in (0.5, 2.0):
            made = dict(rows)
            for name, axes in free.items():
                for axis in axes:
                    old = made[name].shape[axis]
                    made[name] = made[name].take(np.arange(max(1, round(old * factor))) % max(old, 1), axis=axis)
            yield made


def drawn_whole(array: Array, count: int, random: Any, *, sampled: bool) -> Array:
    """Rows of many cells, each made of two of the sample's."""
    whole = array.dtype.kind in "iu"
    with np.errstate(all="ignore"):
        low, high = float(np.nan_to_num(np.nanmin(array))), float(np.nan_to_num(np.nanmax(array)))
    spread = high - low or max(abs(high), 1.0)
    bounds = np.iinfo(array.dtype) if whole else None
    made = np.empty((count, *array.shape[1:]), dtype=array.dtype)
    for at in range(count):
        one, other = (array[random.integers(len(array))].astype(np.float64) for _ in range(2))
        way, shape = at % 8, one.shape
        if way == 0:
            row = np.where(random.random(shape) < 0.5, one, other)
        elif way == 1:
            row = np.roll(one, int(random.integers(1, max(2, shape[-1]))), axis=-1)
        elif way == 2:
            row = np.flip(one, axis=-1)
        elif way == 3 and sampled:
            row = (
                random.integers(int(low), int(high) + 1, shape)
                if whole
                else one + random.normal(0, 0.1, shape) * spread
            )
        elif way == 3:
            row = random.normal(0, 1, shape) * 10.0 ** random.uniform(0, 2)
        elif way == 4:
            row = random.permutation(one.ravel()).reshape(shape)
        elif way == 5:
            part = random.random()
            row = one.copy() if whole else one * part + other * (1 - part)
            row.ravel()[: int(part * row.size)] = other.ravel()[: int(part * row.size)]
        elif way == 6 and not whole:
            row = low + (one - low) * random.uniform(0, 2)
        else:
            row = one.copy()
            places = random.integers(0, row.size, 3)
            row.ravel()[places] = random.choice([low - spread, high + spread, high + 1, low, high], 3)
        if bounds is not None:
            row = np.clip(np.round(np.nan_to_num(row)), max(bounds.min, -(2**53)), min(bounds.max, 2**53))
        made[at] = row
    return made


def units(width: int) -> list[int]:
    """The columns of a matrix that are tried one by one."""
    return sorted({round(at) for at in np.linspace(0, width - 1, min(width, MAX_UNITS))})


def merged(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Rows of several sets as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _numbers(array: Array, picked: Array, cuts: Sequence[Array], random: Any, *, sampled: bool) -> Array:
    """Each cell drawn in one of a few ways, each row mostly in one."""
    flat = array.reshape(len(array), -1).astype(np.float64)
    made = picked.reshape(len(picked), -1).astype(np.float64)
    shape = made.shape
    way = np.where(random.random(shape) < 0.3, random.integers(0, 6, shape), random.integers(0, 6, (len(made), 1)))
    with np.errstate(all="ignore"):
        low, high = np.nanmin(flat, axis=0), np.nanmax(flat, axis=0)
    low, high = np.nan_to_num(low), np.nan_to_num(high)
    spread = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
    mixed = flat[random.integers(0, len(flat), shape), np.arange(shape[1])]
    halves = np.stack(
        [_between(flat[:, at], cuts[at] if cuts else None, shape[0], random) for at in range(shape[1])], 1
    )
    outside = np.where(random.random(shape) < 0.5, low, high) + random.choice([-3.0, -0.5, 0.5, 3.0], shape) * spread
    moved = made + random.normal(0, 0.1, shape) * spread
    wide = random.normal(0, 1, shape) * 10.0 ** random.uniform(-2, 3, shape)
    ways = [mixed, mixed, moved, halves, halves, outside if sampled else wide]
    made = np.choose(way, ways)
    if array.dtype.kind in "iu":
        bounds = np.iinfo(array.dtype)
        made = np.clip(np.round(np.nan_to_num(made)), max(bounds.min, -(2**53)), min(bounds.max, 2**53))
    shaped: Array = made.reshape(picked.shape).astype(array.dtype)
    return shaped


def _between(column: Array, cuts: Array | None, count: int, random: Any) -> Array:
    """Values at which trees decide: between neighbours, as they are and as a person would write them."""
    known = np.unique(column[np.isfinite(column)])
    between = (known[:-1] + known[1:]) / 2
    if cuts is not None and len(cuts):
        between = np.concatenate([between, cuts])
    if not len(between):
        return np.zeros(count) if not len(known) else known[random.integers(0, len(known), count)]
    picked = between[random.integers(0, len(between), count)]
    single = picked.astype(np.float32)
    ways = [picked, *(np.round(picked, digits) for digits in (1, 2, 3)), single.astype(np.float64),
            np.nextafter(single, np.float32(np.inf)).astype(np.float64)]  # fmt: skip
    chosen: Array = np.choose(random.integers(0, len(ways), count), ways)
    return chosen


def _texts(array: Array, picked: Array, spec: TensorSpec, random: Any) -> Array:
    """Categories are mixed; free text is also cut up, joined, and put in other letters."""
    known = [value for value in array.ravel().tolist() if value is not None] or [""]
    if spec.categories:
        known = [*known, *(str(value) for value in spec.categories)]
        return _objects([known[at] for at in random.integers(0, len(known), picked.size)], picked.shape)
    made = []
    for at in range(picked.size):
        words = f"{known[random.integers(len(known))]} {known[random.integers(len(known))]}".split()
        random.shuffle(words)
        text = " ".join(words[: random.integers(1, len(words) + 1)]) if words else ""
        if at % 4 == 1:
            text = text.upper()
        elif at % 4 == 2:
            text = f"{text} {WORDS[random.integers(len(WORDS))]}"
        made.append(text)
    return _objects([*WORDS, *made][: picked.size], picked.shape)


def _without(array: Array, gone: Array) -> Array:
    array = array.copy()
    array[gone] = None if array.dtype.kind == "O" else np.nan
    return array


def _objects(values: list[str], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)
