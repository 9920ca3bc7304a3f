"""Converting and checking processes: confine themselves, do one half of a conversion, and leave no process.

The first runs in the model's environment and reads the model; the second in the platform's, and reads only
what the first left in the scratch folder.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from inferry import plugins
from inferry.bundles.converting import write_converted
from inferry.bundles.samples import media_file, parse
from inferry.compose.confinement import enter
from inferry.compose.inspector import spare_memory_mb
from inferry.media.stage import bare, tensor_of
from inferry.security.brood import alone, die_with_parent
from inferry.types.conversion import CheckTask, Converted, ConvertTask
from inferry.types.sample import Sample

RESULT = "conversion.json"


def run_conversion(task: ConvertTask) -> int:
    """Make the candidates. Returns the exit code."""
    return alone(partial(_confined, task, task.runtime, partial(_convert, task)))


def run_check(task: CheckTask) -> int:
    """Choose among the candidates. Returns the exit code."""
    return alone(partial(_confined, task, "onnx", partial(_check, task)))


def _confined(task: ConvertTask | CheckTask, runtime: str, work: Callable[[], Converted]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    read = (task.artifact, task.packages, *filter(None, (task.sample,))) if isinstance(task, ConvertTask) else ()
    memory_mb = task.memory_mb or spare_memory_mb()
    enter(runtime, read, task.scratch, memory_mb, cpu_seconds=max(1, int(task.timeout_s)))
    die_with_parent()
    write_converted(Path(task.scratch) / RESULT, work)
    return 0


def _convert(task: ConvertTask) -> Converted:
    from inferry.runtimes.conversion import convert

    sys.path.append(task.packages)  # after the model's own packages: those must not change
    signature = bare(task.signature)
    model = plugins.load("inferry.runtimes", task.runtime)().load(
        Path(task.artifact), task.entry, task.options, signature
    )
    return convert(task.runtime, model, signature, _sample(task), Path(task.scratch))


def _sample(task: ConvertTask) -> Sample | None:
    """The sample as arrays: a picture or a sound as what it is made into for the model."""
    path = Path(task.sample)
    file = media_file(path) if task.sample else None
    takers = [spec for spec in task.signature.inputs if spec.takes_files]
    if file is not None and len(task.signature.inputs) == len(takers) == 1:
        return Sample(kind="tensors", tensors={takers[0].name: tensor_of([file], takers[0])})
    return parse(path) if task.sample and file is None else None


def _check(task: CheckTask) -> Converted:
    from inferry.runtimes.conversion_check import check

    return check(Path(task.scratch), task.drafts, bare(task.signature))
