"""Snippets: a curl line and a few lines of Python that work as they are, for one endpoint."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec


def curl(http: str, endpoint: str, example: Any, key_file: str) -> str:
    """A command that asks for one prediction."""
    body = msgspec.json.encode(example).decode() if example is not None else "{}"
    return (
        f'curl -s {http}/predict/{endpoint} -H "Authorization: Bearer $(cat {shlex.quote(key_file)})" '
        f"-d {shlex.quote(body)}"
    )


def python(endpoint: str, example: Any) -> str:
    """A program that asks for one prediction."""
    value = example["inputs"] if isinstance(example, dict) and set(example) == {"inputs"} else example
    return f"import inferry\n\nprint(inferry.connect().endpoint({endpoint!r}).predict({value!r}))\n"
