"""The cgroups of a platform: which they are."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from inferry.backends.cgroups import Cgroups, find
from inferry.backends.memory import tree


def find_groups(home: Path, supervisor: int) -> Cgroups:
    """The cgroups of the platform of a home, which has one at a time. `supervisor`: its process."""
    name = f"inferry-{sha256(str(home.resolve()).encode()).hexdigest()[:12]}"
    return find(name, lambda pid: pid in tree(supervisor))
