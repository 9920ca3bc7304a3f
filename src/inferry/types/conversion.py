"""Conversion: a model turned into ONNX at deploy, what was found out about it, and how it is fed.

Data flow: ConvertTask -> Drafts (candidates, from the process that can read the model) -> CheckTask ->
Checked (from the platform's own environment) -> Conversion, kept in the manifest. A Plan says how a
signature's inputs become those of a graph; it travels in the manifest's options.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from inferry.types.signature import Scalar, Signature

RTOL, ATOL = 1e-4, 1e-5
"""Numbers are equal when |converted - native| <= ATOL + RTOL * |native|. Everything else must be the same."""

Mode = Literal["auto", "never", "require"]
"""Convert when equal and faster; not at all; or refuse to serve the model natively."""

MODEL = "model.onnx"
SHEET = "checks.npz"


class Feed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input of the graph, made of the signature's inputs `columns`.

    `form`: "matrix" (columns side by side, or a lone matrix as it is), "column" ([rows, 1]), "rows" ([rows]) or
    "same" (one input, of whatever rank).
    `dtype`: numpy's name ("float32", "float64", "int64", "bool") or "text". `blank`: the text that stands
    for a missing one. `lower`: text in lower case.
    """

    name: str
    columns: tuple[str, ...]
    dtype: str
    form: Literal["matrix", "column", "rows", "same"] = "matrix"
    blank: str = ""
    lower: bool = False


class Guard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the native model refuses, and in which words. `kind`: "nan", "infinite", "large" (for 32-bit
    floats), "negative" (a whole number), "unknown" (a text that is not among `known`) or "empty" (no row). `values` in
    the message stands for the values that are unknown."""

    input: str
    kind: Literal["nan", "infinite", "large", "negative", "unknown", "empty"]
    message: str
    code: str = "invalid_input"
    known: tuple[Scalar, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How requests become the graph's inputs, and its outputs answers: the signature's output -> the graph's."""

    feeds: tuple[Feed, ...]
    answers: dict[str, str]
    guards: tuple[Guard, ...] = ()


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate: `file` in the scratch folder, and how it is fed. `wary`: it refuses missing and infinite values
    whatever the native model says to them."""

    file: str
    plan: Plan
    wary: bool = False


class ConvertTask(msgspec.Struct, frozen=True, kw_only=True):
    """Convert a model, in the model's own environment with the converter's `packages` (a folder) beside it."""

    artifact: str
    entry: str
    runtime: str
    scratch: str
    packages: str
    signature: Signature
    options: dict[str, Any] = {}
    sample: str = ""
    memory_mb: int = 0
    timeout_s: float = 120.0


class CheckTask(msgspec.Struct, frozen=True, kw_only=True):
    """Compare the drafts in the scratch folder with the answers kept there, in the platform's environment."""

    scratch: str
    drafts: tuple[Draft, ...]
    signature: Signature
    memory_mb: int = 0
    timeout_s: float = 120.0


class Converted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a converting process leaves: `drafts`, or the `reason` why there are none. `converter`: its name and
    version. The checking one leaves the `chosen` draft, or the reason why none is equal; the `largest`
    difference of a number and `where`, over `rows`; and what it measured of the chosen one. `native_us`: what the
    native model took, where the inspection did not measure it."""

    reason: str = ""
    converter: str = ""
    drafts: tuple[Draft, ...] = ()
    chosen: int = -1
    rows: int = 0
    largest: float = 0.0
    where: str = ""
    batch_us: dict[str, float] = {}
    threads_gain: float = 0.0
    packing_gain: float = 0.0
    native_us: dict[str, float] = {}
