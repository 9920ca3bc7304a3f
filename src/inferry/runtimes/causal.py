"""Causal language models of transformers, asked in OpenAI's words beside the tensors of other doors.

Data flow: body -> its messages written out by the tokenizer's chat template, or its prompt -> tokens, with room for an
answer in the context -> a Line at the Decoder -> its tokens as they come -> text up to a stop -> chunks, handed on
or gathered. Whoever stops waiting takes its line out of the batch.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from inferry.errors import InferryError, InvalidInput, InvalidModel
from inferry.interfaces.runtime import Asker, Said
from inferry.runtimes.arrays import ArrayModel
from inferry.runtimes.chunks import Form, Gathered, shown
from inferry.runtimes.decoder import Decoder, Line
from inferry.runtimes.sampling import Picked, wishes_of
from inferry.runtimes.spelling import Spelling
from inferry.runtimes.stops import Stops
from inferry.types.sample import Sample
from inferry.types.signature import Inspection
from inferry.types.text import first_line

SLOTS = 8
CONTEXT = 8192  # tokens of one request with its answer, however much more the model was trained for
LOOK_S = 0.2  # between two looks whether anybody still waits, while no token comes
NO_TEMPLATE = "Ask /v1/completions with a prompt, or deploy it again with a chat template in its tokenizer's folder."


class Writer:
    """A model and its tokenizer, asked by OpenAI's bodies."""

    def __init__(self, model: Any, tokenizer: Any, options: Mapping[str, Any]) -> None:
        if options.get("chat_template"):
            tokenizer.chat_template = options["chat_template"]
        self.slots = int(options.get("slots") or SLOTS)
        self.chats = bool(tokenizer.chat_template)
        self.context = _context(getattr(model.config, "max_position_embeddings", None), options.get("context"))
        self._tokenizer, self._config = tokenizer, model.generation_config
        self._vocabulary = int(model.config.get_text_config().vocab_size)
        ends = self._config.eos_token_id
        ends = tokenizer.eos_token_id if ends is None else ends
        self._ends = frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])
        self._decoder = Decoder(model, min(int(options.get("batch") or self.slots), self.slots))
        self.batch = self._decoder.batch

    def respond(self, body: dict[str, Any], asker: Asker) -> Said:
        """Answer one body with messages or a prompt."""
        prompt = self._prompt(body)
        wishes = wishes_of(body, self._config, self.context - len(prompt), self._vocabulary)
        line = Line(prompt, wishes, self._ends)
        form, gathered = Form(chat="messages" in body), Gathered()
        tell = Telling(self._tokenizer, form, Stops(wishes.stops), self._ends, logprobs=wishes.logprobs >= 0)
        usage = (body.get("stream_options") or {}).get("include_usage") is True
        self._decoder.submit(line)
        try:
            for chunk in tell.chunks(_picked(line, asker), len(prompt)):
                gathered.add(chunk)
                part = shown(chunk, usage=usage) if asker.parts else None
                if not (asker.say(part) if part else asker.waits()):
                    return Said(None, len(prompt), tell.written)
        except Left:
            return Said(None, len(prompt), tell.written)
        finally:
            line.unwanted = True
        return Said(None if asker.parts else gathered.whole(), len(prompt), tell.written)

    def _prompt(self, body: dict[str, Any]) -> list[int]:
        """The tokens to go on from. Raises InvalidInput when there are none, or too many."""
        chat = "messages" in body
        text = self._written_out(body["messages"]) if chat else body["prompt"]
        ids: list[int] = self._tokenizer(text, add_special_tokens=not chat)["input_ids"]
        if ids and max(ids) >= self._vocabulary:
            raise InvalidInput("The text has a token that the model does not know.")
        if not ids:
            raise _at("messages" if chat else "prompt", "The text is empty: the model finds no token in it.", "")
        if len(ids) >= self.context:
            why = f"The request has {len(ids)} tokens, and the model takes {self.context} with its answer."
            raise _at("messages" if chat else "prompt", why, "Shorten it.")
        return ids

    def _written_out(self, messages: list[dict[str, Any]]) -> str:
        if not self.chats:
            raise _at("messages", "This model has no chat template, so it cannot be asked for a chat.", NO_TEMPLATE)
        said = [{**one, "content": _text(one.get("content"))} for one in messages]
        try:
            return str(self._tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # the template is the model's own, and raises what it likes
            raise _at("messages", f"The model's chat template refuses the messages: {first_line(error)}", "") from error


def _context(places: Any, asked: Any) -> int:
    """How many tokens a request may have. `places`: how many the model tells apart, when it says so."""
    trained = places if isinstance(places, int) and places > 0 else 0
    if asked and trained and asked > trained:
        raise InvalidModel(
            f"A context of {asked} tokens is more than the {trained} that the model was trained for.",
            help="Deploy it with a smaller option context.",
        )
    return int(asked or min(trained or CONTEXT, CONTEXT))


class Left(Exception):
    """Nobody waits for the answer any more."""


def _picked(line: Line, asker: Asker) -> Iterator[Picked]:
    """The line's tokens as they come. Raises what ended it early, or Left."""
    while True:
        try:
            one = line.said.get(timeout=LOOK_S)
        except queue.Empty:
            if not asker.waits():
                raise Left from None
            continue
        if one is None:
            return
        if isinstance(one, BaseException):
            raise one
        yield one


class Telling:
    """What is told of one answer's tokens. `written`: how many there were so far."""

    def __init__(self, tokenizer: Any, form: Form, stops: Stops, ends: frozenset[int], *, logprobs: bool) -> None:
        self.written = 0
        self._tokenizer, self._form, self._stops, self._ends = tokenizer, form, stops, ends
        self._logprobs: list[dict[str, Any]] | None = [] if logprobs else None

    def chunks(self, tokens: Iterator[Picked], read: int) -> Iterator[dict[str, Any]]:
        """Chunks up to the end and the usage."""
        yield from self._form.opening()
        spelling, why = Spelling(self._tokenizer), "length"
        for one in tokens:
            self.written += 1
            if one.token in self._ends:
                why = "stop"
                break
            if self._logprobs is not None:
                self._logprobs.append(self._scored(one))
            if text := self._stops.feed(spelling.add(one.token)):
                yield self._piece(text)
            if self._stops.hit:
                why = "stop"
                break
        if not self._stops.hit:
            text = self._stops.feed(spelling.rest())
            why = "stop" if self._stops.hit else why
            text += self._stops.rest()
            if text or self._logprobs:
                yield self._piece(text)
        yield self._form.end(why)
        yield self._form.usage(read, self.written)

    def _piece(self, text: str) -> dict[str, Any]:
        told, self._logprobs = self._logprobs, None if self._logprobs is None else []
        return self._form.piece(text, told)

    def _scored(self, one: Picked) -> dict[str, Any]:
        others = [self._named(token, value) for token, value in one.others]
        return self._named(one.token, one.logprob) | {"top_logprobs": others}

    def _named(self, token: int, value: float) -> dict[str, Any]:
        text = str(self._tokenizer.decode([token], clean_up_tokenization_spaces=False))
        return {"token": text, "logprob": round(value, 6), "bytes": list(text.encode())}


class WritingModel:
    """An array model that is also asked in OpenAI's words."""

    def __init__(self, arrays: ArrayModel, writer: Writer) -> None:
        self._arrays, self._writer = arrays, writer
        self.slots = writer.slots

    def respond(self, inputs: Any, asker: Asker) -> Said:
        """Answer a body, or arrays as the signature says."""
        if isinstance(inputs, dict) and ("messages" in inputs or isinstance(inputs.get("prompt"), str)):
            return self._writer.respond(inputs, asker)
        return Said(self._arrays.predict(inputs))

    def predict(self, inputs: Any) -> Any:
        """Answer arrays."""
        return self._arrays.predict(inputs)

    def describe(self, sample: Sample | None) -> Inspection:
        """The array model's, with what chats need to know."""
        found, writer = self._arrays.describe(sample), self._writer
        more = {"context": writer.context, "slots": writer.slots, "batch": writer.batch, "chats": writer.chats}
        notes = () if writer.chats else ("It has no chat template, so it writes completions, but no chats.",)
        return msgspec.structs.replace(found, details=found.details | more, notes=(*found.notes, *notes))


def _text(content: Any) -> str:
    """A message's text; its parts' texts put together."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = [one.get("text") if isinstance(one, dict) and one.get("type") == "text" else None for one in content]
    if not all(isinstance(part, str) for part in parts):
        raise _at("messages", "A message has a part that is no text.", "Send text only: the model takes nothing else.")
    return "".join(parts)  # type: ignore[arg-type]


def _at(field: str, why: str, help: str) -> InferryError:
    error = InvalidInput(why, help=help)
    error.param = field
    return error
