"""The race of one model: each server alone, then all together in interleaved rounds.

servers -> alone: start (timed), PSS idle, PSS under load, stop -> groups (the quiet ones together, a
loud one only with the reference) -> all answers of a group agree -> rounds: every scenario, every
server, in an order that turns from round to round -> latencies that are compared with no peer's, with only
Inferry, the reference and a server that computes nothing up -> Results. A server that fails is kept in
`failures` with its reason and the others go on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from bench.connection import Post
from bench.load import Load, generator, run, users
from bench.peers import grpc, machine, wire
from bench.peers.constant import ConstantServer
from bench.peers.environments import Unavailable
from bench.peers.models import model_file
from bench.peers.scenarios import SCENARIOS, STARTS, Scenario, row
from bench.peers.servers import Server
from bench.peers.summary import REFERENCE
from tests.support import processes

WARM_UP = 1.0
SETTLE_SECONDS = 1.5
HALF_LOAD = ("tiny", "mlp")
FLOOR = ("image",)
GRPC = "tiny"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how often. `turns`: so many, for each round, where what is asked is a difference of two figures and
    not a rate."""

    rounds: int
    seconds: float
    starts: int
    turns: int


@dataclass(kw_only=True)
class Results:
    """Everything that one model's race measured, as plain values for JSON."""

    model: str
    rounds: int
    seconds: float
    titles: dict[str, str] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    floor: list[dict[str, Any]] = field(default_factory=list)
    half_load: list[dict[str, Any]] = field(default_factory=list)
    grpc: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def say(text: str) -> None:
    """Progress, on stderr."""
    print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)


def race(model: str, servers: Sequence[Server], plan: Plan) -> Results:
    """Measure one model on all these servers; the reference is the first."""
    results = Results(model=model, rounds=plan.rounds, seconds=plan.seconds)
    results.titles = {server.name: server.title for server in servers}
    results.peers = {server.name: server.peer for server in servers}
    able = [server for server in servers if _alone(server, plan, results)]
    reference = next((server for server in able if server.name == REFERENCE), None)
    if reference is None:
        say(f"{model}: no reference, no race")
        return results
    quiet = [server for server in able if not server.loud]
    for number, group in enumerate([quiet, *([reference, server] for server in able if server.loud)]):
        with _running(group, results) as up:
            agreeing = _agreeing(up, results)
            for turn in range(plan.rounds):
                _round(agreeing, number, turn, plan, results)
            if number == 0:
                _grpc(agreeing, plan, results)
    latencies(quiet, plan, results)
    return results


def latencies(servers: Sequence[Server], plan: Plan, results: Results) -> None:
    """What is compared with no peer: a lone request with the bare call, and a tail with its median. No peer is up
    then, since what others do now and then is what a tail is made of; a server that computes nothing is, to show
    what of the tail is the machine's and the generator's."""
    both = [server for server in servers if server.name in {REFERENCE, "inferry"}]
    if results.model in HALF_LOAD and generator() == "wrk":
        both.append(ConstantServer(row(results.model)))
    results.titles |= {server.name: server.title for server in both}
    with _running(both, results) as up:
        _above_floor(up, plan, results)
        _half_load(up, plan, results)


def _alone(server: Server, plan: Plan, results: Results) -> bool:
    """Start it a few times with nothing else up; its memory is its own then. False when it cannot."""
    starts = min(plan.starts, STARTS.get(results.model, 1))
    try:
        server.prepare()
        for _ in range(starts):
            try:
                seconds = server.start()
                encoding = next(scenario.encoding for scenario in SCENARIOS[results.model])
                posts = server.posts(encoding) or server.posts("binary")
                time.sleep(SETTLE_SECONDS)
                idle = processes.pss_mb(server.pids())
                connections = max(scenario.connections for scenario in SCENARIOS[results.model])
                run(posts[0][1], connections, WARM_UP)
                loaded = processes.pss_mb(server.pids())
                record = {"seconds": round(seconds, 3), "idle_mb": round(idle, 1), "loaded_mb": round(loaded, 1)}
                disk = {"processes": len(server.pids()), "extra_mb": round(server.extra_mb(), 1)}
                results.starts.append({"server": server.name, **record, **disk})
                say(f"{results.model}: {server.name} alone: {record}")
            finally:
                server.stop()
    except Unavailable as reason:
        results.failures[server.name] = str(reason)
        say(f"{results.model}: {server.name} cannot take part: {reason}")
        return False
    return True


@contextmanager
def _running(servers: Sequence[Server], results: Results) -> Iterator[list[Server]]:
    """Those of the servers that started; all are stopped at the end."""
    with ExitStack() as stack:
        up = []
        for server in servers:
            stack.callback(server.stop)
            try:
                server.start()
                up.append(server)
            except Unavailable as reason:
                results.failures[server.name] = str(reason)
        yield up


def _agreeing(servers: Sequence[Server], results: Results) -> list[Server]:
    """The servers whose answers through every door say what the reference says."""
    expected: list[float] = []
    agreeing = []
    for server in servers:
        for encoding in ("json", "binary"):
            for door, post in server.posts(encoding):
                answer = httpx.post(post.url, content=post.body, headers=post.headers, timeout=60)
                said = wire.read(answer) if answer.status_code == 200 else []
                expected = expected or said
                if not wire.agree(said, expected):
                    results.failures[server.name] = f"{door} answers {said[:3]}... and not {expected[:3]}..."
        if server.name not in results.failures:
            agreeing.append(server)
    say(f"{results.model}: all agree: {', '.join(server.name for server in agreeing)}")
    return agreeing


def _round(servers: Sequence[Server], group: int, turn: int, plan: Plan, results: Results) -> None:
    first = turn % len(servers)
    for scenario in SCENARIOS[results.model]:
        for server in [*servers[first:], *servers[:first]]:
            for door, post in server.posts(scenario.encoding):
                sample = _measure(server, post, scenario, plan.seconds)
                place = {"group": group, "round": turn, "server": server.name, "door": door}
                results.samples.append({**place, **sample})
                say(
                    f"{results.model} {scenario.encoding} c={scenario.connections} round {turn + 1}/{plan.rounds}: "
                    f"{server.name} {door} {sample['rate']:,.0f}/s p99 {sample['p99']:.2f} ms"
                    + (f", {sample['errors']} ERRORS" if sample["errors"] else "")
                )


def _measure(server: Server, post: Post, scenario: Scenario, seconds: float) -> dict[str, Any]:
    run(post, scenario.connections, WARM_UP)
    pids = server.pids()
    before = processes.cpu_seconds(pids)
    load = run(post, scenario.connections, seconds)
    used = processes.cpu_seconds(pids) - before
    return {
        "encoding": scenario.encoding, "connections": scenario.connections, **_figures(load),
        "cpu_us": round(used / max(1, load.requests) * 1e6, 1),
    }  # fmt: skip


def _figures(load: Load) -> dict[str, Any]:
    return {"rate": round(load.rate, 1), "p50": round(load.p50, 4), "p99": round(load.p99, 4), "errors": load.errors}


def floor(model: str, seconds: float) -> dict[str, float]:
    """A bare loop over `session.run` in a process of its own, on one thread."""
    words = [sys.executable, "-m", "bench.peers.floor", str(model_file(model)), str(seconds)]
    answer: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return answer


def _above_floor(servers: Sequence[Server], plan: Plan, results: Results) -> None:
    """How much longer a lone request takes through Inferry than the bare call, each time between two bare loops."""
    post = next((post for server in servers if server.name == "inferry" for _, post in server.posts("binary")), None)
    if results.model not in FLOOR or post is None:
        return
    for turn in range(plan.rounds * plan.turns):
        before = floor(results.model, plan.seconds / 2)
        run(post, 1, WARM_UP)
        served = run(post, 1, plan.seconds)
        after = floor(results.model, plan.seconds / 2)
        bare = {name: (before[name] + after[name]) / 2 for name in before}
        results.floor.append({"round": turn, **bare, "served_p50": served.p50})
        say(f"{results.model}: bare {bare['p50']:.2f} ms, served {served.p50:.2f} ms")


def _half_load(servers: Sequence[Server], plan: Plan, results: Results) -> None:
    """Latency at half of what each can answer at that moment, from many users who think.
    A second of the same comes before, so that nothing is left of the full load nor of the first requests."""
    if results.model not in HALF_LOAD or generator() != "wrk":
        return
    most = max(scenario.connections for scenario in SCENARIOS[results.model])
    doors = [(server, door, post) for server in servers for door, post in server.posts("json")]
    for turn in range(plan.rounds * plan.turns):
        for server, door, post in doors:
            capacity = run(post, most, WARM_UP).rate
            users(post, capacity / 2, WARM_UP)
            before = machine.taken()
            load = users(post, capacity / 2, plan.seconds)
            taken_ms = round(1e3 * (machine.taken() - before))
            place = {"round": turn, "server": server.name, "door": door, "capacity": capacity, "taken_ms": taken_ms}
            results.half_load.append({**place, **_figures(load)})
            say(f"{results.model} half load: {server.name} {door} {load.rate:,.0f}/s p99 {load.p99:.2f} ms")


def _grpc(servers: Sequence[Server], plan: Plan, results: Results) -> None:
    """The gRPC doors of Triton and Inferry, by perf_analyzer."""
    if results.model != GRPC:
        return
    doors = [server for server in servers if server.grpc()]
    if "inferry" not in {server.name for server in doors}:
        results.failures["inferry (gRPC)"] = "its ready file names no gRPC address"
    for turn in range(plan.rounds):
        for server in doors:
            try:
                figures = grpc.analyse(server.grpc(), server.grpc_options(), plan.seconds)
            except Unavailable as reason:
                results.failures[f"{server.name} (gRPC)"] = str(reason)
                say(f"{results.model} gRPC: {server.name}: {reason}")
                continue
            results.grpc.append({"round": turn, "server": server.name, **figures})
            say(f"{results.model} gRPC: {server.name} {figures['rate']:,.0f}/s p99 {figures['p99']:.2f} ms")
