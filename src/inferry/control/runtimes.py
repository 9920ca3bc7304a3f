"""Runtimes: what this installation can serve, what is missing for the rest, and what it computes on.

Data flow: every runtime plugin -> its row: what it takes, where it runs, whether it can -> one document.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import msgspec

from inferry import plugins
from inferry.bundles.formats.served import SERVED
from inferry.types.devices import Devices


def runtimes(find: Callable[[], Devices]) -> dict[str, Any]:
    """`runtimes`: one row each, `devices`: what the machine has, `devices_words`: the same for people."""
    found = find()
    rows = [_row(name, target) for name, target in sorted(plugins.names("inferry.runtimes").items())]
    return {"runtimes": rows, "devices": msgspec.to_builtins(found), "devices_words": found.words()}


def _row(name: str, target: str) -> dict[str, Any]:
    served = SERVED.get(name)
    module = target.partition(":")[0]
    there = _is_there(module)
    own = bool(served and served.packages)
    return {
        "name": name,
        "takes": served.takes if served else f"what the plugin {module.partition('.')[0]} says",
        "runs_in": "an environment of the model's own" if own else "the platform's environment",
        "packages": list(served.packages) if served else [],
        "ready": there,
        "help": "" if there else f"pip install {module.partition('.')[0].replace('_', '-')}",
        "plugin": served is None,
    }


def _is_there(module: str) -> bool:
    """Whether a module could be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
