"""OpenAI's chat completions, completions and embeddings.

Data flow: body -> its fields checked one by one -> Call whose inputs are the body (a language model's
task is "text-generation", its signature open or one text) or the texts of a model that makes embeddings of them
-> the model's answer, or each chunk of it -> JSON with the endpoint's name as `model`.

Fields that change nothing here (`user`, `metadata`...) are passed over; unknown ones are refused, as there.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InferryError, InvalidInput, ModelFailed
from inferry.interfaces.codec import Call, Encoded
from inferry.interfaces.runtime import TokenCounter
from inferry.protocols import answers
from inferry.protocols.forms import openai_error
from inferry.types.frames import CONTENT_JSON, DOOR_CHAT, DOOR_COMPLETIONS, Request
from inferry.types.signature import Signature

TASK = "text-generation"
TEXT, EMBEDDING, WRITTEN = "text", "embedding", "generated_text"
PASSED_OVER = frozenset((
    "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "best_of", "echo", "suffix",
))  # fmt: skip
EMBEDDING_FIELDS = frozenset((*PASSED_OVER, "model", "input", "encoding_format", "dimensions"))
TEXT_ONLY = "a text or a list of texts: numbers of tokens mean nothing to a tokenizer other than the client's"
SAFE_INTEGER = 1 << 53


def _number(low: float, high: float) -> tuple[str, Callable[[Any], bool]]:
    return f"a number from {low:g} to {high:g}", lambda value: type(value) in (int, float) and low <= value <= high


def _integer(low: int, high: int) -> tuple[str, Callable[[Any], bool]]:
    return f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high


def _is_stop(value: Any) -> bool:
    texts = value if isinstance(value, list) else [value]
    return len(texts) <= 16 and all(isinstance(text, str) for text in texts)


def _is_format(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("type") not in ("text", "json_object", "json_schema"):
        return False
    schema = value.get("json_schema")
    return value["type"] != "json_schema" or (isinstance(schema, dict) and isinstance(schema.get("schema"), dict))


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(
        isinstance(message, dict)
        and isinstance(message.get("role"), str)
        and isinstance(message.get("content"), str | list | None)
        for message in value
    )  # fmt: skip


FLAG = ("true or false", lambda value: type(value) is bool)
OBJECT = ("an object", lambda value: isinstance(value, dict))
OBJECTS = ("a list of objects", lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value))
TOKENS = _integer(1, 1 << 20)

Fields = dict[str, tuple[str, Callable[[Any], bool]]]
COMMON: Fields = {
    "model": ("a text", lambda value: isinstance(value, str)),
    "stream": FLAG,
    "stream_options": OBJECT,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "top_k": _integer(0, 1 << 20),
    "min_p": _number(0, 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "repeat_penalty": _number(0, 4),
    "max_tokens": TOKENS,
    "seed": _integer(-SAFE_INTEGER, SAFE_INTEGER),
    "stop": ("a text or a list of up to 16", _is_stop),
    "logit_bias": OBJECT,
    "n": ("1: answers are made one at a time", lambda value: value == 1 and type(value) is int),
}
FIELDS: dict[int, Fields] = {
    DOOR_CHAT: COMMON | {
        "messages": ("a list of objects with a 'role' and a 'content'", _is_messages),
        "max_completion_tokens": TOKENS,
        "logprobs": FLAG,
        "top_logprobs": _integer(0, 20),
        "response_format": ("{'type': 'text'}, 'json_object', or 'json_schema' with its 'schema'", _is_format),
        "tools": OBJECTS,
        "tool_choice": ("a text or an object", lambda value: isinstance(value, str | dict)),
        "parallel_tool_calls": FLAG,
    },
    DOOR_COMPLETIONS: COMMON | {
        "prompt": ("a text", lambda value: isinstance(value, str)),
        "logprobs": _integer(0, 20),
    },
}  # fmt: skip
NEEDED = {DOOR_CHAT: "messages", DOOR_COMPLETIONS: "prompt"}


def _read(body: bytes | memoryview) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The body is not JSON: {error}.", help="Send a JSON object.") from error
    if not isinstance(found, dict):
        raise InvalidInput("The body is not a JSON object.", help="Send a JSON object.")
    return found


def _wrong(name: str, what: str) -> InvalidInput:
    error = InvalidInput(f"'{name}' must be {what}.", help="See OpenAI's API reference.")
    error.param = name
    return error


class WritingCodec:
    """Chat completions or completions (`door`) of one model; of none that writes text, a clear refusal."""

    def __init__(self, door: int, signature: Signature, task: str) -> None:
        self._door = door
        told = [spec.name for spec in signature.outputs]
        self._writes = task == TASK and (signature.kind == "open" or told == [WRITTEN])

    def decode(self, request: Request) -> Call:
        """A Call whose inputs are the checked body."""
        name = request.name
        if not self._writes:
            raise InvalidInput(
                f"The model {name!r} is not a language model: it does not write text.",
                help=f"Ask it for predictions at /predict/{name}.",
            )
        fields, needed = FIELDS[self._door], NEEDED[self._door]
        body: dict[str, Any] = {}
        for key, value in _read(request.body).items():
            if key in PASSED_OVER or value is None:
                continue
            if key not in fields:
                error = InvalidInput(f"Unrecognized request argument: {key[:60]!a}.", help="Leave it out.")
                error.param = key[:60]
                raise error
            what, fits = fields[key]
            if key == "prompt" and isinstance(value, list) and len(value) == 1:
                value = value[0]  # noqa: PLW2901
            if not fits(value):
                raise _wrong(key, what)
            body[key] = value
        if needed not in body:
            raise _wrong(needed, fields[needed][0])
        if "max_completion_tokens" in body:
            body["max_tokens"] = body.pop("max_completion_tokens")
        if "seed" in body:
            body["seed"] %= 1 << 32
        body["model"] = name
        return Call(inputs=body, rows=0, name=name)

    def encode(self, call: Call, outputs: Any) -> Encoded:
        """The answer, or one chunk of it."""
        if not isinstance(outputs, dict):
            raise ModelFailed("The model's answer is no completion.")
        return Encoded(CONTENT_JSON, 0, answers.write(outputs | {"model": call.name}))

    def refuse(self, error: InferryError) -> bytes:
        """The error in OpenAI's form."""
        return openai_error(error)


class EmbeddingsCodec:
    """Embeddings of a model that has one input `text` (BYTES) and an output `embedding`.

    `tokens`: counts what the model reads of each text, where its answer does not tell; without it the usage is 0.
    """

    def __init__(self, signature: Signature, tokens: TokenCounter | None = None) -> None:
        self._tokens = tokens
        inputs, outputs = signature.inputs, {spec.name for spec in signature.outputs}
        fits = len(inputs) == 1 and (inputs[0].name, inputs[0].datatype) == (TEXT, "BYTES") and EMBEDDING in outputs
        self._rank = len(inputs[0].shape) if fits else 0

    def decode(self, request: Request) -> Call:
        """A Call with one row for each text."""
        name = request.name
        if not self._rank:
            raise InvalidInput(
                f"The model {name!r} makes no embeddings of texts.",
                help=f"Its input would be a text named {TEXT!r}, its output named {EMBEDDING!r}.",
            )
        body = _read(request.body)
        for key in body.keys() - EMBEDDING_FIELDS:
            error = InvalidInput(f"Unrecognized request argument: {key[:60]!a}.", help="Leave it out.")
            error.param = key[:60]
            raise error
        form = body.get("encoding_format") or "float"
        if form not in ("float", "base64"):
            raise _wrong("encoding_format", "'float' or 'base64'")
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given
        if isinstance(texts, list) and texts and all(type(one) in (int, list) for one in texts):
            raise _wrong("input", TEXT_ONLY)
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise _wrong("input", "a text or a list of texts")
        if body.get("dimensions") is not None:
            raise _wrong("dimensions", "left out: an embedding has the size that the model gives it")
        array = np.array(texts, dtype=object).reshape((len(texts),) + (1,) * (self._rank - 1))
        options = {"base64": form == "base64", "texts": texts}
        return Call(inputs={TEXT: array}, rows=len(texts), name=name, options=options)

    def encode(self, call: Call, outputs: Mapping[str, Any]) -> Encoded:
        """Each text's embedding, as numbers or as base64 of little-endian float32."""
        found = np.asarray(outputs[EMBEDDING], dtype="<f4")
        if found.ndim < 2 or len(found) != call.rows:
            raise ModelFailed(f"The output {EMBEDDING!r} is not one embedding for each text.")
        rows = found.reshape(call.rows, -1)
        packed = call.options["base64"]
        data = [
            {
                "object": "embedding",
                "index": at,
                "embedding": base64.b64encode(row.tobytes()).decode() if packed else row.tolist(),
            }
            for at, row in enumerate(rows)
        ]
        read = call.read or (sum(self._tokens(call.options["texts"])) if self._tokens else 0)
        usage = {"prompt_tokens": read, "total_tokens": read}
        body = {"object": "list", "data": data, "model": call.name, "usage": usage}
        return Encoded(CONTENT_JSON, 0, answers.write(body))

    def refuse(self, error: InferryError) -> bytes:
        """The error in OpenAI's form."""
        return openai_error(error)
