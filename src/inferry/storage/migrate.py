"""Brings a database's schema to its head, as a process of its own: `python -m inferry.storage.migrate URL`.

Alembic and what it imports cost more memory than all the rest of control; in a process that
ends, they cost it once.
"""

from __future__ import annotations

import sys

from inferry.storage.metadata import open_store

if __name__ == "__main__":
    open_store(sys.argv[1]).close()
