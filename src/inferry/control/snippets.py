"""Snippets: a curl line and a few lines of Python that work as they are, for one endpoint."""

from __future__ import annotations

import shlex

import msgspec

LONG = 2000
"""Bytes of an example that nobody wants to see in a shell line: it is fetched instead."""


def curl(http: str, endpoint: str, example: bytes | None, key_file: str) -> str:
    """A command that asks for one prediction."""
    key = f'-H "Authorization: Bearer $(cat {shlex.quote(key_file)})"'
    asked = f"curl -s {http}/predict/{endpoint} {key}"
    if example is not None and len(example) > LONG:
        return f"curl -s {http}/endpoints/{endpoint}/example {key} | {asked} --data-binary @-"
    return f"{asked} -d {shlex.quote(example.decode() if example is not None else '{}')}"


def python(endpoint: str, example: bytes | None) -> str:
    """A program that asks for one prediction."""
    if example is not None and len(example) > LONG:
        named = f"endpoint = inferry.connect().endpoint({endpoint!r})"
        return f"import inferry\n\n{named}\nprint(endpoint.predict(endpoint.example()))\n"
    body = msgspec.json.decode(example) if example is not None else None
    value = body["inputs"] if isinstance(body, dict) and set(body) == {"inputs"} else body
    return f"import inferry\n\nprint(inferry.connect().endpoint({endpoint!r}).predict({value!r}))\n"
