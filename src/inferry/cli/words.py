"""Signatures and revisions in words, for more than one command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferry.types.signature import Signature, TensorSpec


def signature_lines(signature: Signature) -> list[str]:
    """One line an input and output."""
    if signature.kind == "open":
        return ["takes   any JSON"]
    return [_line("takes", spec) for spec in signature.inputs] + [_line("gives", spec) for spec in signature.outputs]


def _line(verb: str, spec: TensorSpec) -> str:
    shape = ", ".join("any" if size == -1 else str(size) for size in spec.shape)
    line = f"{verb:<7} {spec.name}  {spec.datatype} [{shape}]"
    for word, values in (("one of", spec.categories), ("for", spec.labels)):
        if values:
            listed = ", ".join(map(str, values[:6]))
            line += f"  {word} {listed}" + (f" and {len(values) - 6} more" if len(values) > 6 else "")
    return line + ("  may be missing" if spec.nullable else "")
