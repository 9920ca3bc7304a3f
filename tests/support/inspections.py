"""What an inspection says, for tests."""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.signature import Inspection


def example_of(found: Inspection) -> Any:
    """The body that is kept as JSON."""
    return msgspec.json.decode(found.example)
