"""`python -m bench.peers`: run the race, keep every round, print the tables; `--publish` writes the docs.

arguments -> for each model: servers -> race -> its part of the results file replaced -> report. Models
may be raced in several calls; the report is made of all that the file holds.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.load import generator
from bench.peers import machine, report
from bench.peers.catalog import VARIANTS
from bench.peers.environments import CACHE, ROOT, Unavailable, environment
from bench.peers.inferry_server import InferryServer
from bench.peers.race import Plan, Results, latencies, race, say
from bench.peers.scenarios import SCENARIOS, row
from bench.peers.servers import PeerServer, Server
from bench.peers.summary import REFERENCE

RESULTS = ROOT / "bench/results/peers.json"
PAGE = ROOT / "docs/benchmarks.md"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="Race Inferry against other servers.")
    parser.add_argument("--only", type=_words, default=(), help="peers to race with, e.g. triton,mosec (all)")
    parser.add_argument("--models", type=_words, default=tuple(SCENARIOS), help="tiny,mlp,image,table (all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one round of one second, one start")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--publish", action="store_true", help="write the tables and charts into docs/")
    parser.add_argument("--latencies", action="store_true", help="measure only these, and add them to those of before")
    parser.add_argument("--report", action="store_true", help="measure nothing, report what the results file holds")
    return parser.parse_args()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def servers(model: str, only: tuple[str, ...], folder: Path) -> list[Server]:
    """The reference, Inferry, and the peers (or those of them that were named) that serve the model."""
    peers = [
        PeerServer(variant, model, row(model), folder)
        for variant in VARIANTS
        if variant.serves(model)
        and (not only or variant.name == REFERENCE or variant.name in only or variant.peer in only)
    ]
    return [peers[0], InferryServer(model, row(model), folder), *peers[1:]]


def installs() -> dict[str, Any]:
    """Size and versions of each environment that is there."""
    found = {}
    for name in sorted(path.parent.name for path in (CACHE / "envs").glob("*/bench.json")):
        made = environment(name)
        found[name] = {
            "python": made.version, "mb": made.mb, "packages": len(made.packages), "versions": made.packages,
        }  # fmt: skip
    return found


def _weigh_inferry() -> None:
    """The platform runs from the checkout; an installation of its own is made only for its size."""
    try:
        environment("inferry")
    except Unavailable as reason:
        say(f"Inferry's own installation could not be measured: {reason}")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Race the models that were asked for; whatever else the results file held stays in it."""
    plan = Plan(rounds=options.rounds, seconds=options.seconds, starts=3, turns=4)
    if options.quick:
        plan = Plan(rounds=1, seconds=1.0, starts=1, turns=1)
    document: dict[str, Any] = json.loads(options.results.read_text()) if options.results.exists() else {}
    document.setdefault("models", {})
    folder = CACHE / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if not options.quick:
        _weigh_inferry()
    for model in options.models:
        if options.latencies:
            _more_latencies(document, model, servers(model, ("inferry",), folder), plan)
            options.results.write_text(json.dumps(document, indent=1) + "\n")
            continue
        about = {"begun": time.strftime("%Y-%m-%d %H:%M"), "machine": machine.describe()}
        results = race(model, servers(model, options.only, folder), plan)
        document["models"][model] = {**about, **asdict(results)}
        document["generator"], document["installs"] = generator(), installs()
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps(document, indent=1) + "\n")
    return document


def _more_latencies(document: dict[str, Any], model: str, both: list[Server], plan: Plan) -> None:
    """Add these to what the results file holds of a model: sittings differ more than the turns of one."""
    if model not in document["models"]:
        raise SystemExit(f"{model} has not been raced yet: leave out --latencies.")
    found = Results(model=model, rounds=plan.rounds, seconds=plan.seconds)
    for server in both:
        server.prepare()
    latencies(both, plan, found)
    kept = document["models"][model]
    kept["floor"] += found.floor
    kept["half_load"] += found.half_load
    kept["titles"] |= found.titles


@contextmanager
def _alone() -> Iterator[None]:
    """One race at a time: two would measure each other."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("Another race is running here.") from None
        yield


def _interrupt(*_: object) -> None:
    """Once: a second Ctrl-C must not keep servers from being stopped."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Measure, print, keep. Ctrl-C and SIGTERM stop every server first."""
    options = arguments()
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _alone():
            document = json.loads(options.results.read_text()) if options.report else measure(options)
    except KeyboardInterrupt:
        say("interrupted; every server is stopped")
        return 130
    print(report.tables(document))
    if options.publish:
        report.publish(document, PAGE)
    measured = [sample for results in document["models"].values() for sample in results["samples"]]
    return 1 if any(sample["errors"] for sample in measured if sample["server"] == "inferry") else 0


if __name__ == "__main__":
    sys.exit(main())
