"""Boot: makes `inferry` importable in a model's environment, and nothing else of the platform.

Run by path with the environment's own interpreter (`python -I .../compose/boot.py CONFIG`).
Putting our parent folder on sys.path instead would let the platform's packages leak into the
model's environment.
"""

import importlib.util
import sys
from pathlib import Path


def expose() -> None:
    """Load the package `inferry` from this file's own place."""
    root = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        "inferry", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    if spec is None or spec.loader is None:
        raise SystemExit(f"no package at {root}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["inferry"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    expose()
    from inferry.compose.zygote import main

    main(sys.argv[1])
