"""Run: every gate against a private copy of a version, one after the other; a gate that cannot be run has failed.

Data flow: gates + a Bench (the subject, ways to more private copies) -> Findings of each -> `policy.gates` ->
Results -> Report. The version that some gates compare with is started when the first of them needs it, and kept.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from inferry.errors import InferryError
from inferry.gates import alike, commands, judged, measured, robust, secure
from inferry.gates.subject import Subject
from inferry.policy import compatibility
from inferry.policy import gates as policy
from inferry.types.compatibility import Change
from inferry.types.gates import (
    BundleSize,
    Command,
    Gate,
    Golden,
    Latency,
    Memory,
    Metrics,
    Parity,
    Pytest,
    Robustness,
    Schema,
    Security,
    Slices,
)
from inferry.types.signature import Signature
from inferry.types.trials import Finding, Report, Result


class Known(NamedTuple):
    """A version: `fraud:6`, the digest of its bundle, what it takes and gives."""

    name: str
    digest: str
    signature: Signature


@dataclass
class Bench:
    """What gates are run on. `other`: a private copy of a version or of what an endpoint serves, `known`: what is known
    of it without one; None when there is none yet. `native`: a private copy of the subject's artifact that is not
    converted. `folder`: where commands run."""

    subject: Subject
    other: Callable[[str], Subject | None]
    known: Callable[[str], Known | None]
    native: alike.Native
    folder: Path
    environ: Mapping[str, str]
    say: Callable[[str], None] = field(default=lambda _: None)


def run_gates(gates: Iterable[Gate], bench: Bench) -> Report:
    """The report of all gates."""
    started, begun = time.time(), time.monotonic()
    results: list[Result] = []
    for gate in gates:
        bench.say(f"{gate.title} ...")
        begin = time.monotonic()
        try:
            findings = _run(gate, bench)
        except InferryError as error:
            findings = [Finding(what="gate", verdict="failed", words=error.sentence())]
        results.append(policy.result(gate, findings, time.monotonic() - begin))
        bench.say(f"  {results[-1].verdict} in {results[-1].seconds:.1f} s")
    return Report(
        target=bench.subject.name,
        bundle=bench.subject.digest,
        passed=all(one.verdict != "failed" for one in results),
        results=tuple(results),
        machine=machine(),
        started=started,
        seconds=round(time.monotonic() - begun, 3),
    )


def machine() -> str:
    """What it was measured on."""
    return f"{platform.node()}, {platform.machine()}, {os.cpu_count()} processors"


def _run(gate: Gate, bench: Bench) -> list[Finding]:
    subject = bench.subject
    match gate:
        case Metrics() | Latency() | Memory() | BundleSize():
            found = _compared(gate, bench)
        case Schema():
            found = _schema(gate, bench)
        case Golden():
            found = judged.golden(gate, subject)
        case Slices():
            found = judged.slices(gate, subject)
        case Robustness():
            found = robust.robustness(gate, subject)
        case Security():
            found = secure.security(gate, subject)
        case Parity():
            found = alike.parity(gate, subject, bench.native)
        case Command():
            found = commands.command(gate, subject, bench.folder, bench.environ)
        case Pytest():
            found = commands.pytest(gate, subject, bench.environ)
        case _:
            raise TypeError(f"no way to run {gate.kind}")
    return found


def _compared(gate: Metrics | Latency | Memory | BundleSize, bench: Bench) -> list[Finding]:
    """Gates that may look at another version, too."""
    other, notes = _other(bench, gate.against) if gate.against else (None, [])
    match gate:
        case Metrics():
            found = judged.metrics(gate, bench.subject, other)
        case Latency():
            found = measured.latency(gate, bench.subject, other)
        case Memory():
            found = measured.memory(gate, bench.subject, other)
        case BundleSize():
            found = measured.size(gate, bench.subject, other)
    return [*found, *notes]


def _schema(gate: Schema, bench: Bench) -> list[Finding]:
    """Every change that callers could notice."""
    known = bench.known(gate.against)
    if known is None or known.digest == bench.subject.digest:
        return [_alone(gate.against, nothing=known is None)]
    found = [_changed(change) for change in compatibility.changes(known.signature, bench.subject.signature)]
    return found or [Finding(what="signature", verdict="passed", words=f"it takes and gives what {known.name} does")]


def _changed(change: Change) -> Finding:
    words = f"{compatibility.sentence(change).rstrip('.')} ({'breaks' if change.breaking else 'fits'} callers)"
    return Finding(what=change.name or change.where, verdict="failed" if change.breaking else "passed", words=words)


def _alone(against: str, *, nothing: bool) -> Finding:
    words = f"{against} serves nothing yet to compare with" if nothing else f"{against} is the same bundle"
    return Finding(what=f"against {against}", verdict="skipped", words=words)


def _other(bench: Bench, against: str) -> tuple[Subject | None, list[Finding]]:
    """The version to compare with; else None, and why nothing is compared."""
    known = bench.known(against)
    other = None if known is None or known.digest == bench.subject.digest else bench.other(against)
    return (other, []) if other is not None else (None, [_alone(against, nothing=known is None)])
