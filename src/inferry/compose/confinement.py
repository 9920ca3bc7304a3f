"""How replicas and inspectors are confined: one policy for both, by runtime."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from inferry.security.sandbox import SandboxPolicy, confine, default_read_paths

PACKAGE = Path(__file__).resolve().parent.parent
MAY_EXECUTE = frozenset({"python"})


def enter(runtime: str, read: tuple[str, ...], scratch: str, memory_mb: int, cpu_seconds: int = 0) -> dict[str, str]:
    """Confine this process for good. Returns what each means of the host gave."""
    os.chdir(scratch)
    os.environ["HOME"] = os.environ["TMPDIR"] = scratch
    prefixes = tuple({sys.prefix, sys.base_prefix, sys.exec_prefix})
    memory = memory_mb << 20 or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return confine(
        SandboxPolicy(
            read=(*default_read_paths(prefixes), str(PACKAGE), *read),
            write=(scratch,),
            network=False,
            exec=runtime in MAY_EXECUTE,
            memory_bytes=memory,
            cpu_seconds=cpu_seconds,
            processes=512,
            files=1024,
        )
    )
