"""Decoder: the answers of a causal language model, several at a time, a token of each in turn.

Data flow: Line (a prompt's tokens) -> `submit` -> the model reads it, PIECE tokens between two steps of the others
-> it joins the batch: one call of the model makes the next token of every line in it -> each line's queue. A line that
nobody wants any more leaves at the next step. Lines of a model whose memory cannot be put side by side (sliding
windows, recurrent states, positions that are not told) get a batch each, and their steps take turns.
"""

from __future__ import annotations

import inspect
import queue
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any

import torch

from inferry.errors import ModelFailed
from inferry.runtimes.sampling import Picked, Sampler, Wishes

PIECE = 256
CLOSE = 1e-3  # how far scores of a batch may be from those of a line alone, of the largest score


MEMORY = ("cache", "past_key_values")
"""What transformers calls, in newer and older versions, what a model remembers of the tokens that it has read."""


def memory_of(model: Any) -> str:
    """The name under which the model takes and gives its memory; "" when it has none that it could be handed again."""
    takes = inspect.signature(model.forward).parameters
    return next((name for name in MEMORY if name in takes and "attention_mask" in takes), "")


class Line:
    """One answer on its way. `said`: its tokens, then None, or the error that ended it."""

    def __init__(self, prompt: Sequence[int], wishes: Wishes, ends: frozenset[int]) -> None:
        self.prompt = list(prompt)
        self.said: queue.SimpleQueue[Picked | BaseException | None] = queue.SimpleQueue()
        self.unwanted = False
        self.read = 0
        self.cache: Any = None
        self.last = 0
        self._sampler = Sampler(wishes, prompt)
        self._left, self._ends = wishes.most, ends

    def take(self, scores: Any) -> bool:
        """Choose the next token; whether another is needed."""
        picked = self._sampler.pick(scores)
        self.last = picked.token
        self._left -= 1
        self.said.put(picked)
        if self._left > 0 and picked.token not in self._ends:
            return True
        self.said.put(None)
        return False


class Batch:
    """Lines that share calls of the model: their memories side by side, the shorter ones padded on the left."""

    def __init__(self, line: Line) -> None:
        self.lines = [line]
        self.cache = line.cache
        self.mask = torch.ones((1, len(line.prompt)), dtype=torch.long)

    def add(self, line: Line) -> None:
        """Take in another line."""
        size = max(self.mask.shape[1], len(line.prompt))
        for ours, theirs in zip(self.cache.layers, line.cache.layers, strict=True):
            ours.keys = torch.cat([_padded(ours.keys, size, -2), _padded(theirs.keys, size, -2)])
            ours.values = torch.cat([_padded(ours.values, size, -2), _padded(theirs.values, size, -2)])
        one = torch.ones((1, len(line.prompt)), dtype=torch.long)
        self.mask = torch.cat([_padded(self.mask, size, -1), _padded(one, size, -1)])
        self.lines.append(line)

    def keep(self, rows: list[int]) -> None:
        """Let all other lines go, and what only they needed."""
        if len(rows) == len(self.lines):
            return
        self.lines = [self.lines[row] for row in rows]
        if not rows:
            return
        self.mask = self.mask[rows]
        spare = int((self.mask.sum(0) == 0).sum())
        self.mask = self.mask[:, spare:]
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[rows, :, spare:], layer.values[rows, :, spare:]


def _padded(tensor: Any, size: int, axis: int) -> Any:
    """With zeros on the left of an axis, up to a size."""
    missing = size - tensor.shape[axis]
    return torch.nn.functional.pad(tensor, (0, 0, missing, 0) if axis == -2 else (missing, 0)) if missing else tensor


class Decoder:
    """One model and its lines. A thread of its own, made by the first line, calls the model."""

    def __init__(self, model: Any, batch: int) -> None:
        self._model, self._memory = model, memory_of(model)
        takes = inspect.signature(model.forward).parameters
        self._tells_places = "position_ids" in takes
        self._last_only = {name: 1 for name in ("logits_to_keep", "num_logits_to_keep") if name in takes}
        self._arrived: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._reading: list[Line] = []
        self._batches: list[Batch] = []
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.batch = batch if self._proven() and batch > 1 else 1

    def submit(self, line: Line) -> None:
        """Begin an answer. Called from any thread."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="decoder", daemon=True)
                self._thread.start()
        self._arrived.put(line)

    def _run(self) -> None:
        with torch.inference_mode():
            while True:
                if not self._reading and not self._batches:
                    self._reading.append(self._arrived.get())
                while not self._arrived.empty():
                    self._reading.append(self._arrived.get())
                self._read_on()
                for batch in list(self._batches):
                    self._step(batch)

    def _read_on(self) -> None:
        """The next piece of the prompt that waits longest."""
        self._reading = [line for line in self._reading if not line.unwanted]
        if not self._reading:
            return
        line = self._reading[0]
        try:
            scores = self.read(line)
            if scores is None:
                return
            self._reading.pop(0)
            if _take(line, scores):
                self._join(line)
        except BaseException as error:  # noqa: BLE001 - told to who asked; the others go on
            if line in self._reading:
                self._reading.remove(line)
            _fail([line], error)

    def read(self, line: Line) -> Any:
        """Let the model read the next piece of a line's prompt: the scores behind its end, None before that."""
        piece = line.prompt[line.read : line.read + PIECE]
        mask = torch.ones((1, line.read + len(piece)), dtype=torch.long)
        output = self._call(torch.tensor([piece]), mask, line.cache)
        line.cache = output[self._memory]
        line.read += len(piece)
        return output.logits[0, -1].float() if line.read == len(line.prompt) else None

    def _join(self, line: Line) -> None:
        for batch in self._batches:
            if len(batch.lines) < self.batch:
                batch.add(line)
                return
        self._batches.append(Batch(line))

    def _step(self, batch: Batch) -> None:
        """The next token of each line of a batch."""
        batch.keep([row for row, line in enumerate(batch.lines) if not line.unwanted])
        try:
            if batch.lines:
                scores = self.step(batch)
                batch.keep([row for row, line in enumerate(batch.lines) if _take(line, scores[row])])
        except BaseException as error:  # noqa: BLE001 - told to who asked
            _fail(batch.lines, error)
            batch.lines = []
        if not batch.lines:
            self._batches.remove(batch)

    def step(self, batch: Batch) -> Any:
        """The scores of the tokens that follow each line's last: [lines, vocabulary]."""
        batch.mask = torch.cat([batch.mask, torch.ones((len(batch.lines), 1), dtype=torch.long)], 1)
        output = self._call(torch.tensor([[line.last] for line in batch.lines]), batch.mask, batch.cache)
        batch.cache = output[self._memory]
        return output.logits[:, -1].float()

    def _call(self, ids: Any, mask: Any, cache: Any) -> Any:
        places = {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]} if self._tells_places else {}
        given = {"input_ids": ids, "attention_mask": mask, self._memory: cache, "use_cache": True}
        return self._model(**given, **places, **self._last_only)

    def _proven(self) -> bool:
        """Whether lines in a batch get the scores that each gets alone. Raises what the model raises when it is asked
        step by step."""
        prompts, scores = ([1, 2, 3, 4, 5], [3, 2]), []
        with torch.inference_mode():
            for together in (False, True):
                lines = [Line(prompt, Wishes(most=3), frozenset()) for prompt in prompts]
                for line in lines:
                    line.last = int(self.read(line).argmax())
                batches = [Batch(line) for line in (lines[:1] if together else lines)]
                if together:
                    batches[0].add(lines[1])
                scores.append(torch.cat([self.step(batch) for batch in batches]))
                kinds = {type(layer).__name__ for layer in getattr(lines[0].cache, "layers", [None])}
                if not self._tells_places or kinds != {"DynamicLayer"}:
                    return False
        alone, both = scores
        return bool((alone - both).abs().max() <= CLOSE * alone.abs().max().clamp(min=1.0))


def _take(line: Line, scores: Any) -> bool:
    """Whether the line goes on. One that cannot choose fails alone."""
    try:
        return line.take(scores)
    except Exception as error:  # noqa: BLE001 - told to who asked
        _fail([line], error)
        return False


def _fail(lines: Sequence[Line], error: BaseException) -> None:
    traceback.print_exception(error, file=sys.stderr)
    for line in lines:
        line.said.put(
            ModelFailed(f"The model raised {type(error).__name__} on this input.", help="See inferry logs NAME.")
        )
