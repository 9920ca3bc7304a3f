"""Inferry: from a model file to a governed endpoint with one command.

The root holds the SDK's few names, resolved on first use: importing it loads no framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferry.version import __version__

if TYPE_CHECKING:
    from inferry.client import AsyncClient, Client, connect, connect_async
    from inferry.errors import InferryError
    from inferry.types.lineage import Lineage

__all__ = [
    "AsyncClient",
    "Client",
    "InferryError",
    "Lineage",
    "__version__",
    "connect",
    "connect_async",
]

_HOMES = {"InferryError": "inferry.errors", "Lineage": "inferry.types.lineage"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'inferry' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "inferry.client")), name)
