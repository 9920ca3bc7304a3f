"""Once: what an estimator works out for one output of a request is not worked out again for the next.

An endpoint answers the label and the probabilities, and most estimators find the one by the other: `predict` asks
`predict_proba` or `decision_function`, and each method of a pipeline transforms the rows anew. So these methods of the
estimator itself remember their answer until the request is over: asked again for another output, about the same
object (not an equal one) with the same arguments, they give it again. All decisions stay the estimator's own.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

SCORES = ("predict_proba", "decision_function", "score_samples")


class Once:
    """The methods of one estimator that remember."""

    def __init__(self, estimator: Any) -> None:
        self._methods = [method for holder, name in _asked_again(estimator) for method in _remember(holder, name)]

    def output(self) -> None:
        """What comes next is another output of the same request."""
        for method in self._methods:
            method.calls = 0

    def forget(self) -> None:
        """The request is over."""
        for method in self._methods:
            method.asked, method.answer, method.calls = [], None, 0


class _Method:
    """A method of an estimator, called in its place. `calls`: how many there were for the present output."""

    def __init__(self, method: Callable[..., Any], signature: inspect.Signature, *, copies: bool) -> None:
        self.asked: list[Any] = []
        self.answer: Any = None
        self.calls = 0
        self._method, self._signature, self._copies = method, signature, copies

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        asked = list(bound.arguments.values())
        self.calls += 1
        if self.calls == 1 and self.asked and all(map(_same, self.asked, asked)):
            return self.answer.copy() if self._copies and isinstance(self.answer, np.ndarray) else self.answer
        answer = self._method(*args, **kwargs)
        # Whoever asks more than once for one output may change the object in between.
        self.asked, self.answer = (asked, answer) if self.calls == 1 else ([], None)
        return answer


def _asked_again(estimator: Any) -> Iterator[tuple[Any, str]]:
    """Methods that several outputs ask: of a pipeline what transforms, and the scores of what comes last."""
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps:
        yield from ((step, "transform") for _, step in steps[:-1])
        yield from _asked_again(steps[-1][1])
    else:
        yield from ((estimator, name) for name in SCORES)


def _remember(holder: Any, name: str) -> Iterator[_Method]:
    """Put a method that remembers in a method's place, unless there is none, or no room for another."""
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        method = getattr(holder, name)
        if inspect.ismethod(method):
            remembering = _Method(method, inspect.signature(method), copies=name in SCORES)
            setattr(holder, name, remembering)
            yield remembering


def _same(one: Any, other: Any) -> bool:
    """The same object, an equal plain value, or no further arguments either time."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, bool | int | str):
        return bool(one == other)
    return isinstance(one, tuple | dict) and not one and not other
