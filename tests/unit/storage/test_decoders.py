"""msgspec crashes the process when two threads are the first to decode a type: what threads decode is prepared at import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import inferry

ROOT = Path(inferry.__file__).parent
IN_THREADS = [
    *ROOT.glob("storage/*.py"),
    ROOT / "bundles/pack.py",
    ROOT / "bundles/verdict.py",
    ROOT / "bundles/converting.py",
]


@pytest.mark.parametrize("path", IN_THREADS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_types_are_prepared_when_the_module_is_loaded(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    lazy = [
        call.lineno
        for call in calls
        if any(word.arg == "type" for word in call.keywords) and "decode" in ast.unparse(call.func)
    ]
    assert not lazy, f"{path.name}:{lazy}: make a msgspec.json.Decoder at the module's top"
