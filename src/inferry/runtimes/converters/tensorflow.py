"""TensorFlow SavedModels and Keras models to ONNX.

Data flow: the function that serves -> one function of plain tensors, in the order of the signature -> tf2onnx, which
freezes its variables -> graph and plan.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from inferry.runtimes.arrays import ArrayModel
from inferry.runtimes.converters import Conversions, NotConvertible
from inferry.runtimes.converters.graphs import OPSETS, settle
from inferry.runtimes.tensorflow import Native
from inferry.runtimes.tensors import DTYPES, Array
from inferry.types.conversion import Feed, Plan
from inferry.types.signature import Signature
from inferry.types.text import raised


def convert(model: ArrayModel, signature: Signature, _: Mapping[str, Array]) -> Conversions:
    """The candidate, made when it is asked for."""
    import tf2onnx

    feeds = tuple(
        Feed(
            name=f"input_{at}", columns=(spec.name,), form="same",
            dtype="text" if spec.datatype == "BYTES" else DTYPES[spec.datatype].name,
        )
        for at, spec in enumerate(signature.inputs)
    )  # fmt: skip
    graphs = _graphs(model.opened.native, signature, feeds)
    return Conversions(graphs=graphs, converter=f"tf2onnx {tf2onnx.__version__}", by_machine=True)


def _graphs(native: Native, signature: Signature, feeds: tuple[Feed, ...]) -> Iterator[tuple[Any, Plan]]:
    import tf2onnx

    from inferry.runtimes.tensorflow_import import tf

    given = [
        tf.TensorSpec(
            [None if size < 0 else size for size in spec.shape],
            tf.string if feed.dtype == "text" else tf.as_dtype(feed.dtype),
            name=feed.name,
        )
        for spec, feed in zip(signature.inputs, feeds, strict=True)
    ]

    def flat(*tensors: Any) -> list[Any]:
        named = {
            spec.name: one if one.dtype == (wanted := native.given[spec.name].dtype) else tf.cast(one, wanted)
            for spec, one in zip(signature.inputs, tensors, strict=True)
        }
        answers = native.call(named)
        made = [answers[spec.name] for spec in signature.outputs]
        return [tf.identity(tf.cast(one, tf.float32) if one.dtype == tf.bfloat16 else one) for one in made]

    try:
        with _quiet():
            proto, _ = tf2onnx.convert.from_function(tf.function(flat, input_signature=given), given, opset=OPSETS[""])
    except Exception as error:
        raise NotConvertible(f"its conversion raised {raised(error)}") from error
    unknown = sorted({node.domain for node in proto.graph.node} - {"", "ai.onnx", "ai.onnx.ml"})
    if unknown:
        operation = next(node.op_type for node in proto.graph.node if node.domain in unknown)
        raise NotConvertible(f"there is no converter for its operation {operation}")
    names = [node.name for node in proto.graph.output]
    answers = dict(zip((spec.name for spec in signature.outputs), names, strict=True))
    used = {node.name for node in proto.graph.input}
    yield settle(proto, names), Plan(feeds=tuple(feed for feed in feeds if feed.name in used), answers=answers)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the converter says to people."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
