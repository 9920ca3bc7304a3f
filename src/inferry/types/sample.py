"""Sample: example input that a person gave, parsed into columns or arrays without a framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Parsed example input.

    - ``table``: `tensors` maps column name -> 1-D array (FP64 with NaN for missing numbers,
      INT64, BOOL, or object array of str with None for missing text); all of one length.
    - ``tensors``: `tensors` maps input name -> array; a lone unnamed array has the name "".
    - ``value``: `value` is any other JSON value (a string, a nested object...).

    `value` also holds what a JSON file said as it was written, for models that take JSON as it comes.
    """

    kind: Literal["table", "tensors", "value"]
    tensors: dict[str, Any] = field(default_factory=dict)
    value: Any = None
