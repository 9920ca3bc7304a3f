"""The matrix of formats names every runtime, and only tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from inferry.bundles.formats.served import SERVED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/tasks/frameworks.md").read_text("utf-8")


def test_every_runtime_has_a_row() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(SERVED)


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE))
    assert named
    for file, name in named:
        tree = ast.parse((ROOT / "tests/frameworks" / file).read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"
