"""TensorFlow Serving's REST Classify and Regress.

    {"context": {...}, "examples": [{"age": 41, "job": "clerk"}, ...]}

An example is an object of named values, each as it is or in a list; what stands in `context`
belongs to every example. Classify answers each example with all labels and their scores,
`{"results": [[["no", 0.75], ["yes", 0.25]], ...]}`, Regress with a number, `{"results": [1.5, ...]}`.

Data flow: body -> examples with their context -> `Rows` -> Call; the one output that the
signature has for the question -> JSON. A model that has none is refused before it predicts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InferryError, InvalidInput, ModelFailed
from inferry.interfaces.codec import Call, Encoded
from inferry.protocols import answers, json_nan
from inferry.protocols.forms import tfs_error
from inferry.protocols.rows import Rows
from inferry.protocols.tensors import Array
from inferry.protocols.tfs import check_signature
from inferry.types.feedback import label_text
from inferry.types.frames import CONTENT_JSON, Request
from inferry.types.signature import Signature, TensorSpec

HINT = 'Send {"examples": [{...}]} with one object of named values for each row; "context" may hold what all share.'


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked about each example: the output that answers, and what to make of it."""

    output: Callable[[Signature], TensorSpec | None]
    results: Callable[[TensorSpec, Array], list[Any]]
    refusal: str
    help: str


class _Body(msgspec.Struct):
    examples: list[dict[str, Any]]
    context: dict[str, Any] | None = None
    signature_name: str | None = None


class ExamplesCodec:
    """Reads examples and writes results, for one question and one signature."""

    def __init__(self, signature: Signature, question: Question) -> None:
        self._rows = Rows(signature)
        self._scalars = {spec.name for spec in signature.inputs if spec.shape == (-1,)}
        self._decoder = msgspec.json.Decoder(_Body)
        self._question = question
        self._output = question.output(signature)

    def decode(self, request: Request) -> Call:
        """A Call from a request body. Raises InvalidInput."""
        body: _Body = json_nan.parse(self._decoder, request.body, HINT, self._rows.nan)
        check_signature(body.signature_name)
        if self._output is None:
            raise InvalidInput(self._question.refusal, help=self._question.help)
        inputs, rows = self._rows.by_row([self._example(example, body.context) for example in body.examples])
        return Call(inputs=inputs, rows=rows)

    def _example(self, example: dict[str, Any], context: dict[str, Any] | None) -> dict[str, Any]:
        """All features of one example, a lone value out of its list."""
        features = {**context, **example} if context else example
        for name in self._scalars:
            value = features.get(name)
            if type(value) is list and len(value) == 1:
                features = {**features, name: value[0]}
        return features

    def encode(self, call: Call, outputs: Any) -> Encoded:
        """The answer's body."""
        assert self._output is not None
        array = np.asarray(outputs[self._output.name])
        if array.shape[:1] != (call.rows,):
            raise ModelFailed(f"Output {self._output.name!r} has not one value for each example.")
        return Encoded(CONTENT_JSON, 0, json_nan.write({"results": self._question.results(self._output, array)}))

    def refuse(self, error: InferryError) -> bytes:
        """The error in TensorFlow Serving's form."""
        return tfs_error(error)


def _scores(signature: Signature) -> TensorSpec | None:
    return next((spec for spec in signature.outputs if spec.labels and len(spec.shape) == 2), None)


def _labelled(spec: TensorSpec, array: Array) -> list[Any]:
    labels = [label_text(label) for label in spec.labels]
    if array.shape[1:] != (len(labels),):
        raise ModelFailed(f"Output {spec.name!r} has not one score for each of the {len(labels)} labels.")
    return [list(zip(labels, row, strict=True)) for row in answers.values(array)]


def _number(signature: Signature) -> TensorSpec | None:
    if any(spec.labels for spec in signature.outputs):
        return None  # a classifier's label may be a number too
    numbers = [spec for spec in signature.outputs if spec.datatype not in ("BYTES", "BOOL")]
    found = [spec for spec in numbers if spec.shape in ((-1,), (-1, 1))]
    return found[0] if len(found) == 1 else None


def _numbers(spec: TensorSpec, array: Array) -> list[Any]:
    if array.size != len(array):
        raise ModelFailed(f"Output {spec.name!r} has {array.size} values for {len(array)} examples.")
    numbers: list[Any] = answers.values(array.reshape(-1))
    return numbers


CLASSIFY = Question(
    output=_scores,
    results=_labelled,
    refusal="This model cannot classify: it has no output with a score for each of its labels.",
    help="Use :predict.",
)
REGRESS = Question(
    output=_number,
    results=_numbers,
    refusal="This model is no regression: it does not answer with one number for each row.",
    help="Use :predict, or :classify for the scores of a classifier.",
)
