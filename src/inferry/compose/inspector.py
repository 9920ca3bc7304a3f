"""Inspector process: confines itself, then loads and describes an artifact once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from inferry.bundles.inspector import inspect
from inferry.compose.confinement import enter
from inferry.types.replicas import InspectTask

RESULT = "inspection.json"


def run_inspection(task: InspectTask) -> int:
    """Inspect and write the result into the scratch directory. Returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    read = (task.artifact, *filter(None, (task.sample,)))
    enter(task.runtime, read, task.scratch, task.memory_mb, cpu_seconds=int(task.timeout_s))
    inspect(
        artifact=Path(task.artifact),
        entry=task.entry,
        runtime=task.runtime,
        options=task.options,
        sample_path=Path(task.sample) if task.sample else None,
        result_path=Path(task.scratch) / RESULT,
    )
    return 0
