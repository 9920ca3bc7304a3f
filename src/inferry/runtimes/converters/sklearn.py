"""scikit-learn models to ONNX, with the estimators of XGBoost and LightGBM wherever they stand inside.

Data flow: fitted estimator and signature -> the forms in which its input can be declared (a matrix of 64-bit
or 32-bit floats, one input a column, texts) -> skl2onnx -> graph and plan of each. Trees of scikit-learn
round to 32 bits before they compare, scalers do not: which form is equal is for the check to say.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from inferry.errors import InferryError
from inferry.runtimes.converters import Conversions, NotConvertible
from inferry.runtimes.converters.boosters import alone, register
from inferry.runtimes.converters.graphs import OPSETS, as_grown, fill_double, settle, unzip, whole_attributes
from inferry.runtimes.encoders import is_vectorizer
from inferry.runtimes.estimators import nested
from inferry.runtimes.feed import needs_frame, reads_text
from inferry.runtimes.sklearn import SklearnModel
from inferry.types.conversion import Feed, Plan
from inferry.types.signature import Signature, TensorSpec
from inferry.types.text import raised

# The converter's outputs come in this order: what a prediction says first, its scores second.
_PLACES = {"label": 0, "prediction": 0, "cluster": 0, "features": 0, "probabilities": 1, "score": 1}
_WORDS = r"(?u)\b\w\w+\b"
_TOKENS = r"[\p{L}\p{N}_]{2,}"  # the same in onnxruntime's expressions


class Form(NamedTuple):
    """One way to declare the inputs: skl2onnx's types by name, and the feeds that fit them."""

    types: list[tuple[str, Any]]
    feeds: tuple[Feed, ...]


def convert(model: SklearnModel, signature: Signature, _: Mapping[str, Any]) -> Conversions:
    """Candidates, made as they are asked for. Raises NotConvertible."""
    import skl2onnx

    loaded = model.loaded
    unknown = [name for name in (spec.name for spec in signature.outputs) if name not in _PLACES]
    if unknown:
        raise NotConvertible(f"its output {unknown[0]} has no counterpart in ONNX")
    if any(type(part).__module__.startswith("sklearn.neighbors.") for part in nested(loaded)):
        raise NotConvertible("it looks for neighbours, and where distances tie ONNX picks others")
    single = alone(loaded, signature)
    if single is not None:
        return single
    register(loaded)
    return Conversions(
        graphs=_graphs(loaded, signature),
        converter=f"skl2onnx {skl2onnx.__version__}",
        cuts=_cuts(loaded, signature),
    )


def _graphs(loaded: Any, signature: Signature) -> Iterator[tuple[Any, Plan]]:
    reason: Exception | None = None
    made = False
    for form in _forms(loaded, signature):
        try:
            yield _graph(loaded, signature, form)
            made = True
        except InferryError:
            raise
        except Exception as error:  # noqa: BLE001  a converter may raise anything; another form may go
            reason = reason or error
    if not made and reason is not None:
        raise NotConvertible(_why(reason))


def _why(error: Exception) -> str:
    if type(error).__name__ in {"MissingShapeCalculator", "MissingConverter"}:
        said = str(error)
        kind = said.partition("type '<class '")[2].partition("'")[0].rpartition(".")[2]
        return f"there is no converter for {kind}" if kind else "there is no converter for one of its parts"
    return f"its conversion raised {raised(error)}"


def _graph(loaded: Any, signature: Signature, form: Form) -> tuple[Any, Plan]:
    from skl2onnx import convert_sklearn

    estimator, options = _prepared(loaded)
    if any(spec.name == "score" for spec in signature.outputs) and not hasattr(loaded, "decision_function"):
        raise NotConvertible("its score has no counterpart in ONNX")
    with whole_attributes():
        proto = convert_sklearn(estimator, initial_types=form.types, options=options, target_opset=OPSETS)
    as_grown(unzip(proto), _trees(loaded))
    if any(feed.dtype == "float64" for feed in form.feeds):
        fill_double(proto, _fillings(loaded))
    names = [node.name for node in proto.graph.output]
    answers = {}
    for spec in signature.outputs:
        if _PLACES[spec.name] >= len(names):
            raise NotConvertible(f"the converter makes no {spec.name}")
        answers[spec.name] = names[_PLACES[spec.name]]
    given = {node.name for node in proto.graph.input}
    feeds = tuple(feed for feed in form.feeds if feed.name in given)
    return settle(proto, list(answers.values())), Plan(feeds=feeds, answers=answers)


def _prepared(loaded: Any) -> tuple[Any, dict[Any, dict[str, Any]]]:
    """The estimator as the converter takes it, a copy where something must change, and the converter's options.

    Text: lower case is Python's, put on before the graph; words are what Python calls words.
    """
    options: dict[Any, dict[str, Any]] = {}
    if any(is_vectorizer(part) or hasattr(part, "flatten_transform") for part in nested(loaded)):
        loaded = copy.deepcopy(loaded)
    for part in nested(loaded):
        if is_vectorizer(part):
            part.lowercase = False
            if getattr(part, "analyzer", "") == "word" and getattr(part, "token_pattern", "") == _WORDS:
                options[id(part)] = {"tokenexp": _TOKENS}
        elif hasattr(part, "flatten_transform"):
            part.flatten_transform = False  # how `transform` answers, which nobody asks of a classifier
        elif type(part).__name__ == "LinearSVC":
            options[type(part)] = {"raw_scores": True}
    return loaded, options


def _forms(loaded: Any, signature: Signature) -> Iterator[Form]:
    specs = signature.inputs
    if reads_text(loaded) or (len(specs) == 1 and specs[0].datatype == "BYTES"):
        yield from _text_forms(loaded, specs[0])
    elif signature.kind == "tensors":
        width = specs[0].shape[-1]
        yield from _matrix_forms(loaded, width, (specs[0].name,))
    elif all(spec.datatype != "BYTES" for spec in specs) and not needs_frame(loaded):
        yield from _matrix_forms(loaded, len(specs), tuple(spec.name for spec in specs))
    else:
        yield from _column_forms(loaded, specs)


def _matrix_forms(loaded: Any, width: int, columns: tuple[str, ...]) -> Iterator[Form]:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    kinds = [("float64", DoubleTensorType), ("float32", FloatTensorType)]
    if hasattr(loaded, "estimators_") or hasattr(loaded, "tree_"):
        kinds.reverse()  # what stands alone and is made of trees rounds to 32 bits itself
    for dtype, kind in kinds:
        yield Form([("X", kind([None, width]))], (Feed(name="X", columns=columns, dtype=dtype),))


def _text_forms(loaded: Any, spec: TensorSpec) -> Iterator[Form]:
    from skl2onnx.common.data_types import StringTensorType

    lower = {bool(part.lowercase) for part in nested(loaded) if is_vectorizer(part)}
    if len(lower) > 1 or any(getattr(part, "strip_accents", None) for part in nested(loaded)):
        raise NotConvertible("its text is prepared in a way that ONNX has not")
    feed = Feed(name="X", columns=(spec.name,), dtype="text", form="rows", lower=lower == {True})
    yield Form([("X", StringTensorType([None]))], (feed,))


def _column_forms(loaded: Any, specs: tuple[TensorSpec, ...]) -> Iterator[Form]:
    from skl2onnx.common import data_types as kinds

    if any(is_vectorizer(part) for part in nested(loaded)):
        raise NotConvertible("it reads text beside other columns")
    numbers = {"float64": kinds.DoubleTensorType, "float32": kinds.FloatTensorType}
    exact = {"INT64": ("int64", kinds.Int64TensorType), "BOOL": ("bool", kinds.BooleanTensorType)}
    blanks = ("nan", "") if any(spec.datatype == "BYTES" and spec.nullable for spec in specs) else ("",)
    own = any(spec.datatype in exact for spec in specs)
    for dtype, whole, blank in itertools.product(numbers, (False, True) if own else (False,), blanks):
        types, feeds = [], []
        for spec in specs:
            if spec.datatype == "BYTES":
                used, kind = "text", kinds.StringTensorType
            elif whole and spec.datatype in exact:
                used, kind = exact[spec.datatype]
            else:
                used, kind = dtype, numbers[dtype]
            types.append((spec.name, kind([None, 1])))
            feeds.append(Feed(name=spec.name, columns=(spec.name,), dtype=used, form="column", blank=blank))
        yield Form(types, tuple(feeds))


def _cuts(loaded: Any, signature: Signature) -> dict[str, list[Any]]:
    """The thresholds of trees that see the input's own columns."""
    if hasattr(loaded, "steps"):
        return {}
    specs = signature.inputs
    width = len(specs) if signature.kind == "table" else specs[0].shape[-1]
    found: list[list[Any]] = [[] for _ in range(max(width, 0))]
    for part in itertools.islice(_trees(loaded), 200):
        for feature, threshold in zip(part.feature, part.threshold, strict=True):
            if 0 <= feature < width:
                found[feature].append(threshold)
    columns = [np.unique(values)[:2000] for values in found]
    if signature.kind == "table":
        return {spec.name: [values] for spec, values in zip(specs, columns, strict=True)}
    return {specs[0].name: columns}


def _fillings(loaded: Any) -> Iterator[Any]:
    for part in nested(loaded):
        filling = getattr(part, "statistics_", None)
        if isinstance(filling, np.ndarray) and filling.dtype.kind == "f":
            yield filling


def _trees(loaded: Any) -> Iterator[Any]:
    """Every tree inside, in the order in which they were fitted."""
    seen: set[int] = set()
    for part in nested(loaded):
        grown = np.ravel(part.estimators_) if isinstance(getattr(part, "estimators_", None), np.ndarray) else (part,)
        for one in grown:
            if hasattr(one, "tree_") and id(one) not in seen:
                seen.add(id(one))
                yield one.tree_
