"""Later: a library's module that is imported when it is first used.

For what only some of a process's work needs: numpy and httpx took a third of the time in which control starts, and a
quarter of its memory, on platforms that never measure a model's quality and call nobody.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Later:
    """Stands for a module. Type checkers are shown the module itself:

    if TYPE_CHECKING:
        import numpy as np
    else:
        np = Later("numpy")
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)
