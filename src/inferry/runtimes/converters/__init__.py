"""Converters: one small file a family, each turning a loaded native model into ONNX candidates.

A converter is a function (model, signature, rows) -> Conversions: graphs with the plan that feeds each, the best
first. `rows` are the sample's, or made up: inputs that a graph may be traced with. It runs in the model's own
environment with the converter's packages beside it, in the sandbox. What it raises is the reason why the native
model serves. Found by runtime, through the plugins "inferry.converters".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inferry.errors import InvalidModel
from inferry.types.conversion import Plan


class NotConvertible(InvalidModel):
    """Why a model stays native: half a sentence."""


@dataclass(frozen=True, kw_only=True)
class Conversions:
    """`graphs`: ONNX model protos and their plans, made one at a time. `converter`: "skl2onnx 1.20.0".
    `cuts`: by input, for each of its columns the values at which the model decides. `by_machine`: what the framework
    answers to missing and infinite values depends on the kernels that it has for a processor."""

    graphs: Iterable[tuple[Any, Plan]]
    converter: str
    cuts: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    by_machine: bool = False
