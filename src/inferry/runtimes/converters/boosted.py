"""Boosted trees as a whole ONNX graph: inputs, categories, trees, link and labels.

Data flow: the signature's columns -> numbers side by side, and for each set of categories that a tree asks for
a column of ones (in the set) and zeros -> the forest -> raw scores -> the objective's link -> prediction, or
label and probabilities, as the library gives them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inferry.runtimes.converters import Conversions, NotConvertible
from inferry.runtimes.converters.graphs import FORMAT
from inferry.runtimes.converters.trees import ML, Array, Forest
from inferry.types.conversion import Feed, Plan
from inferry.types.signature import Scalar, Signature, TensorSpec

MAX_CODE = 4096  # of a category that is given as a number
ZERO = float(np.float32(1e-35))  # LightGBM takes what is not larger for 0
_BLANK = "\0"  # no category is called so
_FLOAT, _INT64, _DOUBLE = 1, 7, 11
_OPERATORS = {"identity": "Identity", "logistic": "Sigmoid", "exp": "Exp"}


@dataclass
class Members:
    """Splits by sets of categories, as columns after the input's own `width` ones."""

    width: int
    sets: dict[tuple[int, frozenset[int]], int] = field(default_factory=dict)

    def column(self, feature: int, members: frozenset[int]) -> int:
        """Where the trees find whether the feature is one of these: 1, else 0."""
        return self.sets.setdefault((feature, members), self.width + len(self.sets))


@dataclass(frozen=True, kw_only=True)
class Boosted:
    """A model of boosted trees.

    `values`: feature -> its categories in the order of their numbers, where callers give them by value; other
    categorical features are given as numbers, rounded down when `floors`, else towards zero. `missing`: what
    a category that is missing is to a split: NaN goes its own way, 0 is in no set. `zeros`: features whose zeros
    are missing values. `single`: the input is rounded to 32 bits. `link`: raw score to answer.
    `classes`: the labels, of a classifier. `above`: the raw score above which the second of two classes is said.
    """

    forest: Forest
    members: Members
    link: str
    values: Mapping[int, Sequence[Scalar]] = field(default_factory=dict)
    floors: bool = False
    missing: float = 0.0
    zeros: frozenset[int] = frozenset()
    single: bool = False
    scale: float = 1.0
    classes: Sequence[Scalar] = ()
    above: float | None = None


class Sketch:
    """A graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node; its output's name."""
        from onnx import helper

        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def constant(self, value: Any) -> str:
        """An array; its name."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def conversions(models: Sequence[Boosted], signature: Signature, converter: str) -> Conversions:
    """The graphs to try, the exact ones first. `models`: what the file may mean, where releases differ."""
    return Conversions(graphs=_graphs(models, signature), converter=converter, cuts=_cuts(models[0], signature))


def _graphs(models: Sequence[Boosted], signature: Signature) -> Iterator[tuple[Any, Plan]]:
    for model in models:
        for exact in (True, False) if model.forest.exact else (False,):
            yield _graph(model, signature, exact=exact)


def _graph(model: Boosted, signature: Signature, *, exact: bool) -> tuple[Any, Plan]:
    from onnx import helper

    sketch = Sketch()
    feeds, places, matrix = _inputs(sketch, model, signature)
    dtype = np.float64 if model.forest.double else np.float32
    forest = _moved(model, places)
    if exact:
        raw = sketch.add("TreeEnsemble", matrix, domain=ML, **forest.newer())
    else:
        raw = sketch.add("TreeEnsembleRegressor", matrix, domain=ML, **forest.older())
        if model.forest.double:
            raw = sketch.add("Cast", raw, to=_DOUBLE)
    answers = _answers(sketch, raw, model, dtype)
    missing = [spec.name for spec in signature.outputs if spec.name not in answers]
    if missing:
        raise NotConvertible(f"its output {missing[0]} has no counterpart in ONNX")
    answers = {spec.name: answers[spec.name] for spec in signature.outputs}
    graph = helper.make_graph(
        sketch.nodes, "boosted", [value for _, value in feeds],
        [helper.make_empty_tensor_value_info(name) for name in answers.values()], sketch.constants,
    )  # fmt: skip
    proto = helper.make_model(
        graph, producer_name="inferry", ir_version=FORMAT,
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(ML, 5 if exact else 3)],
    )  # fmt: skip
    return proto, Plan(feeds=tuple(feed for feed, _ in feeds), answers=answers)


def _inputs(sketch: Sketch, model: Boosted, signature: Signature) -> tuple[list[tuple[Feed, Any]], dict[int, int], str]:
    """The graph's inputs, where each feature is in the matrix that the trees see, and that matrix."""
    from onnx import helper

    specs = signature.inputs
    lone = signature.kind != "table"
    numbers = (
        [] if lone else [at for at in range(len(specs)) if specs[at].datatype != "BYTES" and at not in model.values]
    )
    dtype, given = ("float32", _FLOAT) if model.single or not model.forest.double else ("float64", _DOUBLE)
    feeds, places, blocks = [], {}, []
    width = specs[0].shape[1] if lone else len(numbers)
    if width:
        columns = (specs[0].name,) if lone else tuple(specs[at].name for at in numbers)
        feeds.append(
            (Feed(name="X", columns=columns, dtype=dtype), helper.make_tensor_value_info("X", given, [None, width]))
        )
        wide = given == _FLOAT and model.forest.double
        places = {at: at for at in range(width)} if lone else {at: place for place, at in enumerate(numbers)}
        matrix = sketch.add("Cast", "X", to=_DOUBLE) if wide else "X"
        blocks.append(_without_zeros(sketch, matrix, [at in model.zeros for at in places]) if model.zeros else matrix)
    asked: dict[int, list[tuple[frozenset[int], int]]] = {}
    for (feature, members), column in model.members.sets.items():
        asked.setdefault(feature, []).append((members, column))
    for feature, splits in asked.items():
        if feature in model.values:
            row, feed = _by_value(sketch, specs[feature], model.values[feature], f"c{feature}")
            feeds.append(feed)
            count = len(model.values[feature])
        else:
            count = max(max(members, default=0) for members, _ in splits) + 1
            if count > MAX_CODE:
                raise NotConvertible(f"its categories have numbers up to {count - 1}")
            row = _by_number(sketch, blocks[0], places[feature], count, model)
        for _, column in splits:
            places[column] = width
            width += 1
        table = np.zeros((count + 3, len(splits)), dtype=np.float64 if model.forest.double else np.float32)
        for at, (members, _) in enumerate(splits):
            table[[member + 1 for member in members if member < count], at] = 1
        table[count + 2] = model.missing
        blocks.append(sketch.add("Gather", sketch.constant(table), row, axis=0))
    return feeds, places, blocks[0] if len(blocks) == 1 else sketch.add("Concat", *blocks, axis=1)


def _without_zeros(sketch: Sketch, matrix: str, columns: Sequence[bool]) -> str:
    zero = sketch.add("LessOrEqual", sketch.add("Abs", matrix), sketch.constant(np.float64(ZERO)))
    gone = sketch.add("And", zero, sketch.constant(np.array([columns])))
    return sketch.add("Where", gone, sketch.constant(np.float64(np.nan)), matrix)


def _by_value(sketch: Sketch, spec: TensorSpec, values: Sequence[Scalar], name: str) -> tuple[str, tuple[Feed, Any]]:
    """The row of a category in the table of its splits: one after its place; what is unknown counts as missing."""
    from onnx import helper

    rows, missing = list(range(1, len(values) + 1)), len(values) + 2
    if spec.datatype == "BYTES":
        row = sketch.add(
            "LabelEncoder", name, domain=ML, keys_strings=[str(value) for value in values], values_int64s=rows,
            default_int64=missing,
        )  # fmt: skip
        value_info = helper.make_tensor_value_info(name, 8, [None])
        return row, (Feed(name=name, columns=(spec.name,), dtype="text", form="rows", blank=_BLANK), value_info)
    same = sketch.add("Equal", sketch.add("Unsqueeze", name, sketch.constant([1])), sketch.constant(
        np.array([[float(value) for value in values]])
    ))  # fmt: skip
    known = sketch.add("Cast", same, to=_INT64)
    found = sketch.add("MatMul", known, sketch.constant(np.array(rows, dtype=np.int64)))
    none = sketch.add("Equal", found, sketch.constant(np.int64(0)))
    row = sketch.add("Where", none, sketch.constant(np.int64(missing)), found)
    value_info = helper.make_tensor_value_info(name, _DOUBLE, [None])
    return row, (Feed(name=name, columns=(spec.name,), dtype="float64", form="rows"), value_info)


def _by_number(sketch: Sketch, matrix: str, place: int, count: int, model: Boosted) -> str:
    """The same for a category that is given as its number."""
    dtype = np.float64 if model.forest.double else np.float32
    given = sketch.add("Gather", matrix, sketch.constant(np.int64(place)), axis=1)
    gone = sketch.add("IsNaN", given)
    near = sketch.add("Clip", given, sketch.constant(dtype(-1)), sketch.constant(dtype(count)))
    filled = sketch.add("Where", gone, sketch.constant(dtype(count + 1)), near)
    whole = sketch.add("Floor", filled) if model.floors else filled
    return sketch.add("Add", sketch.add("Cast", whole, to=_INT64), sketch.constant(np.int64(1)))


def _moved(model: Boosted, places: Mapping[int, int]) -> Forest:
    """The forest with every feature where the matrix has it."""
    from dataclasses import replace

    where = np.zeros(model.members.width + len(model.members.sets), dtype=np.int64)
    for feature, place in places.items():
        where[feature] = place
    trees = [replace(tree, feature=where[tree.feature]) for tree in model.forest.trees]
    return replace(model.forest, trees=trees)


def _answers(sketch: Sketch, raw: str, model: Boosted, dtype: Any) -> dict[str, str]:
    """Output name -> where the graph has it."""
    if model.scale != 1.0:
        raw = sketch.add("Mul", raw, sketch.constant(dtype(model.scale)))
    value = _linked(sketch, raw, model.link, dtype)
    if not model.classes:
        return {"prediction": value}
    half = sketch.constant(dtype(0.5)) if model.above is None else ""
    if model.forest.targets == 1:
        over = (value, half) if model.above is None else (raw, sketch.constant(dtype(model.above)))
        second = sketch.add("Cast", sketch.add("Greater", *over), to=_INT64)
        place = sketch.add("Squeeze", second, sketch.constant([1]))
        value = sketch.add("Concat", sketch.add("Sub", sketch.constant(dtype(1)), value), value, axis=1)
    elif len(model.classes) != model.forest.targets:  # several labels a row
        return {"label": sketch.add("Cast", sketch.add("Greater", value, half), to=_INT64), "probabilities": value}
    else:
        place = sketch.add("ArgMax", value, axis=1, keepdims=0)
    if list(model.classes) != list(range(len(model.classes))):
        place = sketch.add("Gather", sketch.constant(_labels(model.classes)), place, axis=0)
    return {"label": place, "probabilities": value}


def _labels(classes: Sequence[Scalar]) -> Array:
    if all(isinstance(label, str) for label in classes):
        return np.array(classes, dtype=object)
    return np.array(classes)


def _linked(sketch: Sketch, raw: str, link: str, dtype: Any) -> str:
    if link in _OPERATORS:
        return sketch.add(_OPERATORS[link], raw)
    if link == "softmax":
        return sketch.add("Softmax", raw, axis=1)
    if link == "softplus":
        return sketch.add("Log", sketch.add("Add", sketch.add("Exp", raw), sketch.constant(dtype(1))))
    if link == "square":
        return sketch.add("Mul", raw, sketch.add("Abs", raw))
    assert link == "step", link
    return sketch.add("CastLike", sketch.add("Greater", raw, sketch.constant(dtype(0))), raw)


def _cuts(model: Boosted, signature: Signature) -> dict[str, list[Any]]:
    """Where the trees decide, for each of the input's columns: thresholds, and known categories."""
    found: dict[int, Any] = {at: cut[:2000] for at, cut in model.forest.cuts().items() if at < model.members.width}
    for feature, members in model.members.sets:
        if feature in model.values:
            found[feature] = np.zeros(0)  # the signature knows them
        else:
            known = np.array(sorted(members), dtype=np.float64)
            found[feature] = np.union1d(found.get(feature, known), known)
    none = np.zeros(0)
    if signature.kind != "table":
        return {signature.inputs[0].name: [found.get(at, none) for at in range(model.members.width)]}
    return {spec.name: [found.get(at, none)] for at, spec in enumerate(signature.inputs)}
