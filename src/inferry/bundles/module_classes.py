"""Which classes of Python files are PyTorch modules, and which of them is the model. The files are only parsed.

Data flow: Python files -> class definitions -> those that come from nn.Module, by their bases -> the one that
config.json names, else the one that no other class uses.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from inferry.bundles.sniff import MAX_SOURCE, syntax_tree
from inferry.errors import InvalidModel

_BASES = {"Module", "LightningModule"}


@dataclass(frozen=True)
class ModuleClass:
    """A class that comes from nn.Module. `uses`: the names that its definition mentions."""

    name: str
    path: Path
    uses: frozenset[str]


def module_classes(paths: Iterable[Path]) -> list[ModuleClass]:
    """The module classes of these files, in their order."""
    defined: list[tuple[Path, ast.ClassDef]] = []
    for path in paths:
        tree = syntax_tree(path.read_bytes()) if path.stat().st_size <= MAX_SOURCE else None
        defined += [(path, node) for node in tree.body if isinstance(node, ast.ClassDef)] if tree else []
    modules: set[str] = set()
    while True:
        found = {node.name for _, node in defined if any(_is_module(base, modules) for base in node.bases)}
        if found == modules:
            break
        modules = found
    return [ModuleClass(node.name, path, _names(node)) for path, node in defined if node.name in modules]


def _is_module(base: ast.expr, known: set[str]) -> bool:
    """nn.Module, torch.nn.Sequential, a bare Module, or a class already known to be one."""
    if isinstance(base, ast.Name):
        return base.id in _BASES or base.id in known
    if isinstance(base, ast.Attribute):
        above = base.value
        from_nn = (isinstance(above, ast.Name) and above.id == "nn") or (
            isinstance(above, ast.Attribute) and above.attr == "nn"
        )
        return base.attr in _BASES or base.attr in known or from_nn
    return False


def _names(node: ast.ClassDef) -> frozenset[str]:
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return frozenset(names | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)})


def the_model(classes: list[ModuleClass], wanted: str) -> ModuleClass:
    """The class to make. `wanted`: the name in config.json, "" for none. InvalidModel when it is not one."""
    if wanted:
        named = [one for one in classes if one.name == wanted]
        if not named:
            raise InvalidModel(
                f"config.json names the class {wanted[:80]!a}, which no Python file beside it defines as a module.",
                help=f"Classes that are there: {', '.join(one.name for one in classes[:10])}.",
            )
        return named[0]
    used = set().union(*(one.uses - {one.name} for one in classes))
    tops = [one for one in classes if one.name not in used]
    if len(tops) != 1:
        names = ", ".join(one.name for one in (tops or classes)[:10])
        raise InvalidModel(
            f"Several PyTorch classes could be the model: {names}.",
            help='Name the one to serve in a config.json beside it: {"class": "NAME"}.',
        )
    return tops[0]
