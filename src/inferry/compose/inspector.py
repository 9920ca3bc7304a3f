"""Inspector process: confines itself, then loads and describes an artifact once, and leaves no process."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from inferry.bundles.inspector import inspect
from inferry.compose.confinement import enter, see_gpus
from inferry.security.brood import alone, die_with_parent
from inferry.types.replicas import InspectTask

RESULT = "inspection.json"
SPARE, LEAST_MB = 0.75, 1024


def spare_memory_mb() -> int:
    """How much an unknown model may take without pushing the host into a corner."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return max(LEAST_MB, int(int(fields["MemAvailable"].split()[0]) / 1024 * SPARE))


def run_inspection(task: InspectTask) -> int:
    """Inspect and write the result into the scratch directory. Returns the exit code."""
    return alone(partial(confined, task))


def confined(task: InspectTask) -> int:
    """The inspection itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    read = (task.artifact, *filter(None, (task.sample,)))
    memory_mb = task.memory_mb or spare_memory_mb()
    see_gpus(task.gpus)
    seconds = max(1, int(task.timeout_s))
    enter(task.runtime, read, task.scratch, memory_mb, cpu_seconds=seconds, device=task.device)
    die_with_parent()
    inspect(
        artifact=Path(task.artifact),
        entry=task.entry,
        runtime=task.runtime,
        options=task.options | {"device": task.device},
        sample_path=Path(task.sample) if task.sample else None,
        result_path=Path(task.scratch) / RESULT,
    )
    return 0
