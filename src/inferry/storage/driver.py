"""PostgreSQL's driver, imported with the first connection: pg8000, whose connections close quietly when they broke."""

from __future__ import annotations

import contextlib

from pg8000.exceptions import InterfaceError
from pg8000.legacy import Connection as Plain


class Connection(Plain):  # type: ignore[misc]
    """A connection. Closing one that the server ended says so to nobody."""

    def close(self) -> None:
        """Say goodbye where somebody listens."""
        with contextlib.suppress(InterfaceError, OSError):
            super().close()
