"""Handlers: user code of other serving systems, a function from a request's JSON to an answer's.

A runtime says how its system calls the code; the rest is the same for all: the JSON body whole as it came,
an answer in one piece or in parts, the sample as the example.

    class MyRuntime(HandlerRuntime):
        def open(self, artifact, path, options):
            module = import_file(artifact, path)
            return lambda value: module.run(value)

Data flow: `open` -> a function -> HandlerModel; `describe(sample)` -> the sample answered, any JSON taken from
then on; `predict(inputs)` -> JSON value (named tensors become lists) -> the function -> JSON value.
"""

from __future__ import annotations

import base64
import contextlib
import inspect
import json
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from inferry.errors import InferryError, InvalidInput, ModelFailed
from inferry.runtimes.answers import as_json
from inferry.runtimes.tensors import example_body, head, plain
from inferry.runtimes.usercode import parts, told
from inferry.types.posted import Posted, Written
from inferry.types.sample import Sample
from inferry.types.signature import Inspection, Signature, as_example
from inferry.types.text import raised

Handle = Callable[[Any], Any]
"""What a runtime opens. One with `post(posted)` is also given HTTP bodies as they came, and answers Written."""

SHOWN_PARTS = 16
_NO_SAMPLE = "No sample was given, so nothing was asked yet: give one to check the model and to show an example."


class HandlerRuntime(ABC):
    """A runtime whose models are HandlerModels. Subclasses say `open`."""

    imports: ClassVar[tuple[str, ...]] = ()
    borrows: ClassVar[bool] = False
    computes_beside: ClassVar[bool] = False

    @abstractmethod
    def open(self, artifact: Path, path: Path, options: dict[str, Any]) -> Handle:
        """Import the code at `path` and make it ready. It runs in the artifact's folder."""

    def load(self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None) -> HandlerModel:
        """Open `artifact/entry`. Raises InvalidModel with what the code raised."""
        started = time.perf_counter()
        with told("loading"), contextlib.chdir(artifact):
            handle = self.open(artifact, artifact / entry, options)
        return HandlerModel(handle, (time.perf_counter() - started) * 1000)


class HandlerModel:
    """A function from JSON to JSON. `whole`: it is given bodies as they came, not what they wrap."""

    def __init__(self, handle: Handle, load_ms: float, *, whole: bool = True) -> None:
        self._handle = handle
        self._post: Callable[[Posted], Any] | None = getattr(handle, "post", None)
        self._whole = whole
        self._load_ms = load_ms

    @property
    def takes_posts(self) -> bool:
        """Whether the code reads HTTP bodies itself."""
        return self._post is not None

    def predict(self, inputs: Any) -> Any:
        """Call the code. What it raises becomes ModelFailed; the traceback goes to the log."""
        try:
            if isinstance(inputs, Posted) and self._post is not None:
                value = self._post(inputs)
            else:
                value = self._handle(json_of(inputs))
        except (InferryError, MemoryError):
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise ModelFailed(f"The model raised {raised(error)}") from error
        if isinstance(value, Written):
            return value
        return parts(value) if isinstance(value, Iterator) else as_json(readable(value))

    def describe(self, sample: Sample | None) -> Inspection:
        """Any JSON is taken; the sample's is answered."""
        signature = Signature(kind="open", whole=self._whole)
        if sample is None:
            return Inspection(signature=signature, notes=(_NO_SAMPLE,), load_ms=self._load_ms)
        given = _body(sample)
        started = time.perf_counter()
        answer = self.predict(given)
        if isinstance(answer, Iterator):
            answer = list(islice(answer, SHOWN_PARTS))
        return Inspection(
            signature=signature,
            example=as_example(given if self._whole else {"inputs": given}),
            answer=answer,
            load_ms=self._load_ms,
            predict_ms=(time.perf_counter() - started) * 1000,
        )


def _body(sample: Sample) -> Any:
    """What the sample file said, when it was JSON; else its first rows."""
    if sample.value is not None:
        return sample.value
    body = example_body(Signature(kind="table" if sample.kind == "table" else "tensors"), head(sample.tensors))
    if isinstance(body, dict) and isinstance(body["inputs"], dict) and list(body["inputs"]) == [""]:
        return body["inputs"][""]
    return body["inputs"] if isinstance(body, dict) else body


def json_of(inputs: Any) -> Any:
    """A request's inputs as JSON: named tensors become lists, a lone one stands for itself."""
    if isinstance(inputs, Mapping) and inputs and all(isinstance(one, np.ndarray) for one in inputs.values()):
        values = {name: plain(array) for name, array in inputs.items()}
        return next(iter(values.values())) if len(values) == 1 else values
    return inputs


def readable(value: Any) -> Any:
    """Bytes as what they say: JSON, text, or {"b64": ...}; everything else as it is."""
    if not isinstance(value, bytes | bytearray | memoryview):
        return value
    try:
        text = bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
    return json_or_text(text)


def json_or_text(text: str) -> Any:
    """The JSON value that a text says, or the text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return text


def value_of(posted: Posted) -> Any:
    """The value of a JSON body. Raises InvalidInput for one that is none."""
    try:
        return json.loads(posted.body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The body is not JSON: {error}.", help="Send the content type that it has.") from None


def written(answer: Any, content_type: str) -> Any:
    """A text or bytes as a body of this type; any other answer as it is, which goes as JSON."""
    if isinstance(answer, str):
        return Written(answer.encode(), content_type)
    if isinstance(answer, bytes | bytearray | memoryview):
        return Written(bytes(answer), content_type)
    return answer


def unpacked(value: Any) -> Any:
    """{"b64": "..."} as the bytes that it stands for, as TensorFlow Serving's clients write images."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except ValueError:
            return value
    return value


def called(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call with as many of the arguments as the function takes by position."""
    takes = 0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            takes = len(arguments)
        elif parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
            takes += 1
    return function(*arguments[: min(takes, len(arguments))])
