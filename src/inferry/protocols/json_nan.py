"""JSON with NaN: as TensorFlow Serving and MLflow read and write it, against the standard.

Data flow: body -> the strict and fast parser; only what it refuses for the tokens NaN,
Infinity or -Infinity is read again by Python's own. An answer is written the fast way, where
such values become null; only an answer with a null in it is looked at and written again.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from inferry.errors import InvalidInput
from inferry.interfaces.codec import Call, Encoded
from inferry.protocols import answers, cells
from inferry.types.frames import CONTENT_JSON

TOKEN = re.compile(rb"NaN|Infinity")


def parse(decoder: msgspec.json.Decoder[Any], body: bytes | memoryview, hint: str, nan: float | None = math.nan) -> Any:
    """What `decoder` makes of a body that may hold infinities and NaN, which becomes `nan`. Raises InvalidInput."""
    try:
        return cells.parse(decoder, body, hint)
    except InvalidInput:
        if TOKEN.search(body) is None:
            raise
    constants = {"NaN": nan, "Infinity": math.inf, "-Infinity": -math.inf}
    try:
        value = json.loads(str(body, "utf-8"), parse_float=_finite, parse_constant=constants.__getitem__)
        msgspec.json.encode(value)  # refuses text that is no Unicode, as the strict parser does
        return msgspec.convert(value, decoder.type)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The body does not have the right form: {error}.", help=hint) from None
    except json.JSONDecodeError as error:
        reason = f"{error.msg.lower()}, line {error.lineno}, column {error.colno}"
        raise InvalidInput(f"The body is not valid JSON ({reason}).", help=hint) from None
    except RecursionError:
        raise InvalidInput("The body is nested too deeply.", help=hint) from None
    except (ValueError, OverflowError):
        raise InvalidInput("The body holds a number out of range, or text that is not Unicode.", help=hint) from None


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise OverflowError
    return value


def write(body: Any) -> bytes:
    """JSON bytes with NaN and infinities as they are. Raises ModelFailed for what JSON cannot say."""
    data = answers.write(body)
    if b"null" not in data:
        return data
    return json.dumps(msgspec.to_builtins(body), ensure_ascii=False, separators=(",", ":")).encode()


def write_parts(predictions: list[Any], calls: list[Call]) -> list[Encoded]:
    """The answer of each call, from one prediction for each row of all of them."""
    written, start = [], 0
    for call in calls:
        body = {"predictions": predictions[start : start + call.rows]}
        written.append(Encoded(CONTENT_JSON, 0, write(body)))
        start += call.rows
    return written
