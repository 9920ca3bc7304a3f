"""Speaking: an engine that answers OpenAI's bodies chunk by chunk, asked by a replica's lanes.

Data flow: a text or a body -> `respond`, in a thread of its own -> the engine is asked for chunks, since one that is
asked for the whole cannot be stopped -> `Call.take` each -> handed on, or gathered into one answer.
"""

from __future__ import annotations

import sys
import traceback
from abc import ABC, abstractmethod
from typing import Any

import msgspec

from inferry.errors import InferryError, InvalidInput, ModelFailed, Overloaded
from inferry.interfaces.runtime import Asker, Said
from inferry.runtimes.chunks import Gathered, shown, text_of
from inferry.types.sample import Sample
from inferry.types.text import first_line

TASK = "text-generation"
EXAMPLE = "What is the capital of France?"
EXAMPLE_TOKENS = 16
TEXT_TOKENS = 256  # of an answer to a lone text, which says nothing of how much is wanted
HINT = 'Send a text, or {"messages": [{"role": "user", "content": "..."}]}.'


def example_of(sample: Sample | None) -> Any:
    """What the model is asked once: the sample's text or body, or a question of ours."""
    return sample.value if sample is not None and sample.kind == "value" else EXAMPLE


class Speaker(ABC):
    """A model behind such an engine. `chats`: a lone text is asked as a message, else as a prompt."""

    def __init__(self, *, chats: bool) -> None:
        self._chats = chats

    @abstractmethod
    def ask(self, body: dict[str, Any], call: Call) -> None:
        """Let the engine answer a body, each chunk to `call.take` until that says stop. Raises what it refuses."""

    def respond(self, inputs: Any, asker: Asker) -> Said:
        """Answer a text or an OpenAI body."""
        if isinstance(inputs, str):
            plain, body = True, self.body(inputs)
        elif isinstance(inputs, dict) and ("messages" in inputs) != ("prompt" in inputs):
            plain, body = False, inputs
        else:
            raise InvalidInput("The input is neither a text nor a body with 'messages' or 'prompt'.", help=HINT)
        call = Call(asker, plain=plain, usage=_asks_usage(body))
        self.ask({**body, "stream": True, "stream_options": {"include_usage": True}}, call)
        if call.error is not None:
            raise call.error
        read, written = call.gathered.tokens
        if asker.parts or call.left:
            return Said(None, read, written)
        whole = call.gathered.whole()
        return Said(text_of(whole) if plain else whole, read, written)

    def body(self, text: str) -> dict[str, Any]:
        """What a lone text is asked as."""
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": text}]} if self._chats else {"prompt": text}
        return asked | {"temperature": 0, "max_tokens": TEXT_TOKENS}

    def predict(self, inputs: Any) -> Any:
        """The whole answer."""
        return self.respond(inputs, Whole()).whole


class Whole:
    """An Asker that waits for the whole answer, however long it takes."""

    parts = False

    def waits(self) -> bool:
        """Yes."""
        return True

    def say(self, part: Any) -> bool:
        """Never asked for."""
        return False


class Call:
    """One request at the engine: takes its chunks, and tells it to stop when nobody waits any more."""

    def __init__(self, asker: Asker, *, plain: bool, usage: bool) -> None:
        self.gathered = Gathered()
        self.error: InferryError | None = None
        self.left = False
        self._asker, self._plain, self._usage = asker, plain, usage

    def waits(self) -> bool:
        """Whether anybody still wants the answer."""
        return self._asker.waits()

    def take(self, data: bytes) -> bool:
        """One chunk; whether the engine shall stop. Raises nothing: the engine would not pass it on."""
        try:
            if data.strip() == b"[DONE]":
                return False
            chunk = msgspec.json.decode(data)
            problem = chunk.get("error") or (chunk if "choices" not in chunk else None)
            if problem:
                self.error = told(problem)
                return True
            self.gathered.add(chunk)
            self.left = not self._pass_on(chunk)
        except Exception:  # noqa: BLE001
            traceback.print_exc(file=sys.stderr)
            self.error = ModelFailed("The engine's answer cannot be read.")
            return True
        return self.left

    def _pass_on(self, chunk: dict[str, Any]) -> bool:
        if not self._asker.parts:
            return self._asker.waits()
        part = text_of(chunk) if self._plain else shown(chunk, usage=self._usage)
        return self._asker.say(part) if part else self._asker.waits()


def _asks_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def told(problem: Any) -> InferryError:
    """The engine's error in our words for it."""
    said = problem if isinstance(problem, dict) else {"message": problem}
    message = first_line(str(said.get("message") or "The engine failed."), 400)
    if said.get("code") in (400, "400"):
        return InvalidInput(message, help="Shorten the messages, or mend what it names.")
    if "context" in message.lower():
        return Overloaded(f"{message} All requests share it.", help="Try again in a moment.", retry_after=1.0)
    return ModelFailed(message)
