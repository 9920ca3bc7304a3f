"""Measured: latency, memory and size of a private copy on this machine.

Data flow: requests one after the other, those of the two versions in turn, so that what else the machine does meets
both -> quantiles; /proc -> the most resident memory of the model's processes; the manifest -> bytes.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from inferry.errors import InvalidInput
from inferry.gates.declare import limits_of
from inferry.gates.subject import Subject, words_of
from inferry.policy.gates import judge_bytes, judge_times, quantiles
from inferry.types.gates import BundleSize, Latency, Memory
from inferry.types.trials import Finding

BLOCK = 10


def latency(gate: Latency, subject: Subject, other: Subject | None) -> list[Finding]:
    """Quantiles of the time of one request."""
    both = [subject] if other is None else [subject, other]
    bodies = [example_of(one) for one in both]
    for one, body in zip(both, bodies, strict=True):
        for _ in range(gate.warmup):
            ask(one, body)
    times: list[list[float]] = [[] for _ in both]
    while len(times[0]) < gate.requests:
        for place, one in enumerate(both):
            for _ in range(min(BLOCK, gate.requests - len(times[place]))):
                began = time.perf_counter()
                ask(one, bodies[place])
                times[place].append(time.perf_counter() - began)
    theirs = quantiles(times[1]) if other is not None else {}
    than = other.name if other is not None else ""
    return judge_times(quantiles(times[0]), limits_of(gate.at_most), limits_of(gate.ratio), theirs, than)


def example_of(subject: Subject) -> bytes:
    """A body that works, as bytes. Raises InvalidInput when none is known."""
    body = subject.manifest.inspection.body
    if body is None:
        raise InvalidInput(f"No example of {subject.name} is known.", help="Deploy it with --sample FILE.")
    return body


def ask(subject: Subject, body: bytes) -> Any:
    """One answer. Raises InvalidInput when it is not one."""
    status, answer = subject.post(body)
    if status != 200:
        raise InvalidInput(f"{subject.name} does not answer its example: {words_of(status, answer)}.")
    return answer


def memory(gate: Memory, subject: Subject, other: Subject | None) -> list[Finding]:
    """The most memory that was resident."""
    most = gate.at_most * 1e6 if gate.at_most is not None else None
    value, theirs = resident(subject), resident(other) if other is not None else None
    if not value:
        return [Finding(what="memory", verdict="failed", words="the model's process is gone")]
    return judge_bytes("memory", value, most, gate.ratio, theirs, other.name if other is not None else "")


def resident(subject: Subject) -> float:
    """The peak of the resident memory of the processes that the model runs in, in bytes."""
    found = 0.0
    for pid in subject.replicas:
        with contextlib.suppress(OSError, KeyError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            fields = dict(line.split(":", 1) for line in lines if ":" in line)
            found = max(found, float(fields["VmHWM"].split()[0]) * 1024)
    return found


def size(gate: BundleSize, subject: Subject, other: Subject | None) -> list[Finding]:
    """The bytes of the bundle."""
    most = gate.at_most * 1e6 if gate.at_most is not None else None
    theirs, than = (other.size, other.name) if other is not None else (None, "")
    return judge_bytes("size", subject.size, most, gate.ratio, theirs, than)
