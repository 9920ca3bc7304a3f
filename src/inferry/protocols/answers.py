"""Answers: what a model returned -> values that JSON can hold.

Data flow: numpy arrays, numpy scalars, frames, bytes, nested containers -> lists, dicts,
numbers and text. JSON has no NaN and no infinity: they are written as null. Bytes are
written as text when they are UTF-8, else as {"b64": "..."}.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import numpy as np

from inferry.errors import ModelFailed
from inferry.protocols.tensors import Array, text_or_bytes
from inferry.types.feedback import label_text

WRITABLE = "Let the model answer numbers, text, lists, dicts or numpy arrays."


def write(body: Any) -> bytes:
    """JSON bytes, or ModelFailed when the answer holds something that JSON cannot."""
    try:
        return msgspec.json.encode(body)
    except RecursionError:
        raise ModelFailed("The model's answer is nested too deeply.", help=WRITABLE) from None
    except UnicodeEncodeError:
        raise ModelFailed("The model's answer holds text that is not valid Unicode.", help=WRITABLE) from None
    except (TypeError, ValueError, OverflowError, msgspec.EncodeError):
        raise ModelFailed("The model's answer holds a value that JSON cannot express.", help=WRITABLE) from None


def values(array: Array) -> Any:
    """An array as nested lists (a number for rank 0), its elements fit for JSON."""
    listed = array.tolist()
    return jsonable(listed) if array.dtype.kind in "OSV" else listed


def jsonable(value: Any) -> Any:
    """Any answer of a Python model in terms of what JSON has. Raises ModelFailed."""
    try:
        return _walk(value)
    except RecursionError:
        raise ModelFailed("The model's answer is nested too deeply.", help=WRITABLE) from None


def _walk(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, dict):
        return {_key(key): _walk(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_walk(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        text = text_or_bytes(bytes(value))
        return text if isinstance(text, str) else {"b64": base64.b64encode(text).decode()}
    return _foreign(value)


def _foreign(value: Any) -> Any:
    """Values of array and frame libraries, known by what they can do."""
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a data frame
        return _walk(value.to_dict("records"))
    if hasattr(value, "tolist"):  # an array, a numpy scalar, a series, a torch tensor
        plain = value.tolist()
        return value if type(plain) is type(value) else _walk(plain)
    return value  # dates, dataclasses...: msgspec writes or refuses them


def _key(key: Any) -> str:
    """A dict key or class label as JSON's text: true for True, 1 for numpy's 1."""
    plain = key.item() if isinstance(key, np.generic) else key
    return label_text(plain)
