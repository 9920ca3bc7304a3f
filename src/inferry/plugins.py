"""Plugins: finds a plugin by entry point and loads only the one chosen.

Built-ins are declared the same way in our own pyproject. When the package's metadata is
not there (a model's environment has only the source), the built-in table below answers.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from inferry.errors import MissingPlugin

BUILT_IN: dict[str, dict[str, str]] = {
    "inferry.runtimes": {
        "onnx": "inferry.runtimes.onnx:OnnxRuntime",
        "sklearn": "inferry.runtimes.sklearn:SklearnRuntime",
        "python": "inferry.runtimes.python:PythonRuntime",
    },
}


def names(group: str) -> dict[str, str]:
    """Plugin name -> "module:attribute" for every plugin of a group."""
    found = dict(BUILT_IN.get(group, {}))
    for entry in entry_points(group=group):
        known = found.setdefault(entry.name, entry.value)
        if known != entry.value:
            raise MissingPlugin(
                f"Two packages offer the plugin {entry.name!r} of {group}: {known} and {entry.value}.",
                help="Uninstall one of them.",
            )
    return found


def load(group: str, name: str) -> Any:
    """The plugin's class or function. Raises MissingPlugin when it or its framework is absent."""
    target = BUILT_IN.get(group, {}).get(name) or names(group).get(name)
    if target is None:
        raise MissingPlugin(f"There is no {name!r} in {group}.", help=f"Known: {', '.join(sorted(names(group)))}.")
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise MissingPlugin(
            f"The {name} runtime needs the package {error.name!r}.", help=f"pip install {error.name}"
        ) from error
