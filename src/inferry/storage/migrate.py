"""Brings a database's schema to its head, as a process of its own: `python -m inferry.storage.migrate`, which reads
the URL from its standard input (a command line can be read by others).

Alembic and what it imports cost more memory than all the rest of control; in a process that
ends, they cost it once.
"""

from __future__ import annotations

import sys

from inferry.errors import InferryError
from inferry.storage.metadata import open_store

if __name__ == "__main__":
    try:
        open_store(sys.stdin.read()).close()
    except InferryError as error:
        sys.exit(error.sentence())
