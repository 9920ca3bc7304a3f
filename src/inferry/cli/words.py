"""Signatures and tests in words, for more than one command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferry.types.signature import Signature, TensorSpec
    from inferry.types.trials import Trial


def signature_lines(signature: Signature) -> list[str]:
    """One line an input and output."""
    if signature.kind == "open":
        return ["takes   any JSON"]
    return [_line("takes", spec) for spec in signature.inputs] + [_line("gives", spec) for spec in signature.outputs]


def tested_text(test: Trial | None) -> str:
    """What came of a version's latest test."""
    return "-" if test is None else "passed" if test.passed else "failed"


def _line(verb: str, spec: TensorSpec) -> str:
    shape = ", ".join("any" if size == -1 else str(size) for size in spec.shape)
    line = f"{verb:<7} {spec.name}  {spec.datatype} [{shape}]"
    for word, values in (("one of", spec.categories), ("for", spec.labels)):
        if values:
            listed = ", ".join(map(str, values[:6]))
            line += f"  {word} {listed}" + (f" and {len(values) - 6} more" if len(values) > 6 else "")
    for word, takes in (("a picture", spec.image), ("a WAV sound", spec.audio)):
        if takes is not None:
            line += f"  or {word}"
    return line + ("  may be missing" if spec.nullable else "")
