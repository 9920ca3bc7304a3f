"""Generation: a language model's text, piece by piece.

Data flow: prompt -> token ids -> transformers' `generate` in a thread, which hands over each token -> decoded as far
as the text is certain -> pieces; whoever stops listening ends the thread at the next token.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import torch

from inferry.errors import InvalidInput
from inferry.runtimes.spelling import Spelling

USUAL, MOST = 128, 1024  # new tokens: where generation_config.json names no number, and at most


class TextGenerator:
    """A model and its tokenizer. Decides as generation_config.json says: greedily where it does not say.

    `most`: how many tokens an answer has at most.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer
        config = model.generation_config
        self._seq2seq = bool(model.config.is_encoder_decoder)
        named = config.max_new_tokens or (config.max_length if self._seq2seq and config.max_length != 20 else None)
        self.most = min(named or USUAL, MOST)
        self._places = getattr(model.config, "max_position_embeddings", None)
        if config.pad_token_id is None:
            config.pad_token_id = tokenizer.pad_token_id

    def pieces(self, prompt: str, **options: Any) -> Iterator[str]:
        """The text that follows `prompt`, without it. `options`: of `generate`, such as max_new_tokens or do_sample.

        Raises InvalidInput when the prompt is empty or leaves the model no room.
        """
        given = self._tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        size = given["input_ids"].shape[1]
        room = (self._places or MOST) - (0 if self._seq2seq or not self._places else size)
        if not size:
            raise InvalidInput("The text is empty: the model finds no token in it.")
        if room < 1 or (self._places and size > self._places):
            raise InvalidInput(f"The text has {size} tokens, and the model takes {self._places} with its answer.")
        wanted = min(options.pop("max_new_tokens", self.most), MOST, room)
        options = {**given, **options, "max_new_tokens": wanted}
        if (options.get("num_beams") or self._model.generation_config.num_beams or 1) > 1:
            yield self._at_once(options, size)
        else:
            yield from self._as_it_comes(options)

    def _at_once(self, options: dict[str, Any], size: int) -> str:
        """Beams are compared at the end, so there is nothing to tell before."""
        with torch.inference_mode():
            ids = self._model.generate(**options)[0]
        made = ids[0 if self._seq2seq else size :].tolist()
        return str(self._tokenizer.decode(made, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _as_it_comes(self, options: dict[str, Any]) -> Iterator[str]:
        tokens = _Tokens()
        thread = threading.Thread(target=tokens.fill, args=(self._model, options), daemon=True)
        thread.start()
        try:
            spelling = Spelling(self._tokenizer)
            for one in tokens:
                if piece := spelling.add(one):
                    yield piece
            if piece := spelling.rest():
                yield piece
        finally:
            tokens.unwanted.set()
            thread.join()


class _Tokens:
    """What `generate` speaks to (`put`, `end`), and what is read from it: token ids, then the error it raised."""

    def __init__(self) -> None:
        self.unwanted = threading.Event()
        self._queue: queue.SimpleQueue[int | BaseException | None] = queue.SimpleQueue()
        self._begun = False

    def fill(self, model: Any, options: dict[str, Any]) -> None:
        """Run `generate` to its end, or until the tokens are unwanted."""
        try:
            with torch.inference_mode():
                model.generate(**options, streamer=self, stopping_criteria=[self._stop])
        except BaseException as error:  # noqa: BLE001  raised again where the tokens are read
            self._queue.put(error)
        finally:
            self._queue.put(None)

    def _stop(self, ids: Any, _: Any, **__: Any) -> Any:
        return torch.full((ids.shape[0],), self.unwanted.is_set(), dtype=torch.bool, device=ids.device)

    def put(self, value: Any) -> None:
        """Tokens of the only row; the first are the prompt's."""
        if self._begun:
            for one in value.reshape(-1).tolist():
                self._queue.put(one)
        self._begun = True

    def end(self) -> None:
        """There are no more."""

    def __iter__(self) -> Iterator[int]:
        while (one := self._queue.get()) is not None:
            if isinstance(one, BaseException):
                raise one
            yield one
