"""Runtime: loads a bundle's artifact and predicts. Chosen by name through an entry point.

Data flow: artifact folder -> `load` -> LoadedModel; in the inspector `describe` finds the
signature, in a replica `predict` maps named arrays to named arrays. A model with `slots` answers
several requests at once instead: each `respond` speaks to its Asker, from a thread of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from inferry.types.sample import Sample
from inferry.types.signature import Inspection, Signature

Tensors = dict[str, Any]
"""Input or output name -> numpy array; for an ``open`` signature any JSON value instead."""


class LoadedModel(Protocol):
    """A model in memory. Not shared between threads, unless its runtime `computes_beside`."""

    def describe(self, sample: Sample | None) -> Inspection:
        """Find the signature from the artifact and the sample, and answer an example once."""
        ...

    def predict(self, inputs: Tensors) -> Tensors:
        """Answer. Arrays have the signature's names, dtypes and ranks; a table's columns are 1-D."""
        ...


class TokenCounter(Protocol):
    """What a LoadedModel that reads texts by a tokenizer may have as its `tokens`."""

    def __call__(self, texts: Sequence[str], /) -> list[int]:
        """How many tokens the model reads of each text. Called from the replica's own thread."""
        ...


class Asker(Protocol):
    """Who waits for one answer. May be spoken to from any thread."""

    parts: bool
    """Whether the answer is wanted bit by bit."""

    def waits(self) -> bool:
        """Whether anybody still wants the answer. Ask now and then, and return when nobody does."""
        ...

    def say(self, part: Any) -> bool:
        """Give one part; blocks while too many are on their way. False: nobody wants more."""
        ...


class Said(NamedTuple):
    """How an answer ended. `whole`: all of it (None: the parts were). `read`, `written`: tokens, for meters."""

    whole: Any = None
    read: int = 0
    written: int = 0


class ConcurrentModel(LoadedModel, Protocol):
    """A model with an engine of its own that works on several requests at once, say on one batch for all.

    `slots`: how many; the replica makes a thread for each, and keeps the requests that come on top of them.
    """

    slots: int

    def respond(self, inputs: Any, asker: Asker) -> Said:
        """Answer one request, and return when that is done. Called from `slots` threads at once; lets go of
        Python's lock while it waits for its engine."""
        ...


class Runtime(Protocol):
    """What a runtime plugin's entry point names: a class made with no arguments.

    `imports`: modules that a zygote imports once, beside the plugin's own, so that forks start fast.
    `borrows`: the model only reads its inputs, keeps none of them and never answers one, so they may
    lie in memory that is used again afterwards.
    `computes_beside`: `predict` lets go of Python's lock while it computes, and may be called from
    several threads at once.
    """

    imports: ClassVar[tuple[str, ...]]
    borrows: ClassVar[bool]
    computes_beside: ClassVar[bool]

    def load(self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None) -> LoadedModel:
        """Load `artifact/entry`. `signature` is None while inspecting."""
        ...
