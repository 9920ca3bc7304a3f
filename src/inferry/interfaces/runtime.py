"""Runtime: loads a bundle's artifact and predicts. Chosen by name through an entry point.

Data flow: artifact folder -> `load` -> LoadedModel; in the inspector `describe` finds the
signature, in a replica `predict` maps named arrays to named arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

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
