"""JAX: functions that jax.export serialized, with the StableHLO program inside."""

from __future__ import annotations

import re
from pathlib import Path

from inferry.bundles.jax_files import exported_function
from inferry.bundles.requirements import merged
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected


def exported(tree: Tree, path: Path) -> Detected:
    """Opened by the JAX that wrote it or a later one. InvalidModel for one that cannot run on the CPU."""
    shown = f"{path.name[:80]!a}"
    says = exported_function(path)
    if says is None or not says.whole:
        raise InvalidModel(f"{shown} is a truncated JAX function.", help="Export or copy it again.")
    if "cpu" not in says.platforms:
        raise InvalidModel(
            f"{shown} was exported for {', '.join(says.platforms)[:80] or 'nothing'}, not for the CPU.",
            help='Export it for both: jax.export.export(f, platforms=("cpu", ...)).',
        )
    version = re.match(r"[0-9]+(\.[0-9]+)+", says.jax)
    ours = (f"jax>={version[0]}" if version else "jax", "flatbuffers")
    why = f"It is a function exported by JAX{f' {version[0]}' if version else ''}."
    return Detected(runtime="jax", entry=tree.name(path), requirements=merged(ours, tree.asked(path)), why=why)


FILES = {Kind.JAX: exported}
