"""Graphs: what every converted ONNX graph goes through before it is tried.

Data flow: model proto as a converter made it -> probabilities as a matrix, no lists of dicts -> only the
outputs that are answered -> no locale that a slim machine lacks -> a format that our onnxruntime reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

OPSETS = {"": 18, "ai.onnx.ml": 3}
_FLOAT = 1
FORMAT = 8  # onnxruntime 1.20 and later read it


def unzip(proto: Any) -> Any:
    """Without ZipMap: the probabilities that went into it are the output, under their own name."""
    graph = proto.graph
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        output = next(one for one in graph.output if one.name == node.output[0])
        output.name = node.input[0]
        output.type.Clear()  # onnxruntime finds it out
        graph.node.remove(node)
    return proto


def as_grown(proto: Any, trees: Iterable[Any]) -> None:
    """Make trees decide as scikit-learn's do. `trees`: all that may be in the graph (its `tree_`).

    They compare 32-bit values with 64-bit thresholds, and know for each node where missing values go.
    A graph with a tree that is none of these is left as it is.
    """
    known: dict[bytes, list[Any]] = {}
    for tree in trees:
        nodes = tree.__getstate__()["nodes"]
        known.setdefault(_shape(nodes["feature"]), []).append(nodes)
    for node in list(proto.graph.node):
        if not re.fullmatch("TreeEnsemble(Classifier|Regressor)", node.op_type):
            continue
        attributes = {one.name: one for one in node.attribute}
        numbers, places = (np.array(attributes[name].ints) for name in ("nodes_treeids", "nodes_nodeids"))
        features, values = np.array(attributes["nodes_featureids"].ints), attributes["nodes_values"].floats
        thresholds, lefts = np.array(values), np.array(attributes["nodes_missing_value_tracks_true"].ints)
        for number in np.unique(numbers):
            mine = np.flatnonzero(numbers == number)
            mine = mine[np.argsort(places[mine])]
            nodes = _same_tree(known.get(_shape(features[mine]), ()), thresholds[mine])
            if nodes is None:
                return
            inner = mine[nodes["feature"] >= 0]
            thresholds[inner] = _floor32(nodes["threshold"][nodes["feature"] >= 0])
            if "missing_go_to_left" in nodes.dtype.names:
                lefts[mine] = nodes["missing_go_to_left"]
        values[:] = thresholds.tolist()
        attributes["nodes_missing_value_tracks_true"].ints[:] = lefts.tolist()
        _round_input(proto.graph, node)


def _shape(features: Any) -> bytes:
    """The features by node; leaves have 0 in a graph."""
    return bytes(np.maximum(features, 0).astype(np.int64).tobytes())


def _same_tree(trees: Iterable[Any], thresholds: Any) -> Any:
    for nodes in trees:
        inner = nodes["feature"] >= 0
        if np.allclose(nodes["threshold"][inner], thresholds[inner], rtol=1e-5, atol=1e-6):
            return nodes
    return None


def fill_double(proto: Any, statistics: Iterable[Any]) -> None:
    """Imputers of 64-bit numbers, which onnxruntime has not, as a choice between value and filling.

    `statistics`: those of the native imputers; the graph has them in 32 bits only.
    """
    from onnx import helper, numpy_helper

    known = [np.asarray(one, dtype=np.float64) for one in statistics]
    for node in list(proto.graph.node):
        attributes = {one.name: one for one in node.attribute}
        if node.op_type != "Imputer" or "imputed_value_floats" not in attributes:
            continue
        single = np.array(attributes["imputed_value_floats"].floats, dtype=np.float32)
        exact = next((one for one in known if np.array_equal(one.astype(np.float32), single)), None)
        if exact is None or not np.isnan(attributes["replaced_value_float"].f):
            continue
        filling, gone = f"{node.output[0]}_filling", f"{node.output[0]}_gone"
        proto.graph.initializer.append(numpy_helper.from_array(exact.reshape(1, -1), filling))
        made = [
            helper.make_node("IsNaN", [node.input[0]], [gone], name=gone),
            helper.make_node(
                "Where", [gone, filling, node.input[0]], [node.output[0]], name=f"{node.output[0]}_filled"
            ),
        ]
        place = next(at for at, one in enumerate(proto.graph.node) if one.output[0] == node.output[0])
        del proto.graph.node[place]
        for one in reversed(made):
            proto.graph.node.insert(place, one)


def _floor32(values: Any) -> Any:
    """The largest 32-bit float that is not above: a 32-bit value is below it just when it is below the other."""
    single = values.astype(np.float32)
    return np.where(single.astype(np.float64) > values, np.nextafter(single, np.float32(-np.inf)), single)


def _round_input(graph: Any, node: Any) -> None:
    """A cast to 32 bits before the node."""
    from onnx import helper

    given = node.input[0]
    name = f"{given}_single_{node.output[0]}"
    cast = helper.make_node("Cast", [given], [name], name=name, to=_FLOAT)
    at = next(at for at, one in enumerate(graph.node) if one is node or one.output[0] == node.output[0])
    node.input[0] = name
    graph.node.insert(at, cast)


def settle(proto: Any, outputs: Sequence[str]) -> Any:
    """The proto, changed in place and returned."""
    made = {name: node.op_type for node in proto.graph.node for name in node.output}
    for output in proto.graph.output:
        if made.get(output.name) == "TreeEnsembleRegressor":
            output.type.tensor_type.elem_type = _FLOAT  # whatever the converter promised
    kept = [node for node in proto.graph.output if node.name in outputs]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)
    proto.ir_version = min(proto.ir_version, FORMAT)
    for node in proto.graph.node:
        if node.op_type == "StringNormalizer" and not any(one.name == "locale" for one in node.attribute):
            locale = node.attribute.add()
            locale.name, locale.s, locale.type = "locale", b"C", 3  # STRING
    return proto


@contextmanager
def whole_attributes() -> Iterator[None]:
    """Some converters give booleans where ONNX wants integers (HistGradientBoosting), which newer onnx refuses."""
    from onnx import helper

    given = helper.make_attribute

    def make_attribute(key: str, value: Any, *more: Any, **named: Any) -> Any:
        if isinstance(value, bool):
            value = int(value)
        elif isinstance(value, list | tuple) and value and isinstance(value[0], bool):
            value = [int(item) for item in value]
        return given(key, value, *more, **named)

    helper.make_attribute = make_attribute
    try:
        yield
    finally:
        helper.make_attribute = given
