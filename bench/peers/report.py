"""Results -> Markdown tables and charts -> the marked part of docs/benchmarks.md.

Each model has a table for every load, fastest first; then starts, memory and sizes, latency at half
load, the gRPC doors, and who could not take part. What lies between the markers is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.peers import chart, summary
from bench.peers.summary import Line

BEGIN, END = "<!-- peers: begin (written by make bench-peers) -->", "<!-- peers: end -->"
MODELS = {
    "tiny": ("Tiny model", "Logistic regression on four numbers: what is measured is the server."),
    "mlp": ("Dense network", "512-1024-1024-10 with ReLU, one row of 512 numbers a request: batching pays."),
    "image": ("Image network", "A MobileNet-like network on 3x224x224 float32, 602 KB a request: the model dominates."),
    "table": ("Table", "Gradient boosted trees (LightGBM) on 30 named columns, one row a request."),
}
HALF_MS = 0.5
PACKAGES = (
    "bentoml", "fastapi", "inferry", "kserve", "lightgbm", "litserve", "mlflow", "mlserver", "mosec", "nvidia-pytriton",
    "onnxruntime", "ray", "uvicorn",
)  # fmt: skip


def tables(document: Mapping[str, Any], charts: str = "") -> str:
    """All of it as Markdown; `charts`: where the pictures lie, seen from the page."""
    models = [document["models"][name] for name in MODELS if name in document["models"]]
    parts = [_measured_on(document, models)]
    for results in models:
        parts += _model(results, charts)
    parts += _half_load(models) + _grpc(models) + _starts(document, models) + _failures(models)
    return "\n".join(parts).strip() + "\n"


def publish(document: Mapping[str, Any], page: Path) -> None:
    """Write the tables between the page's markers, and the charts into the folder of the page's name."""
    folder = page.with_suffix("")
    folder.mkdir(exist_ok=True)
    for name, results in document["models"].items():
        (folder / f"{name}.svg").write_text(chart.draw(MODELS[name][0], chart_panels(results)))
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page} has no markers {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{tables(document, folder.name)}\n{END}{after}")


def chart_panels(results: Mapping[str, Any]) -> list[chart.Panel]:
    """A panel for each load, a bar for each server's best door."""
    panels = []
    for encoding, connections in loads(results):
        best: dict[str, Line] = {}
        for line in summary.lines(results["samples"], encoding, connections):  # the fastest first
            best.setdefault(results["titles"][line.server], line)
        bars = [
            chart.Bar(label=title, rate=line.rate, ratio=line.ratio, ours=line.server == "inferry")
            for title, line in best.items()
        ]
        panels.append(chart.Panel(title=_load(encoding, connections), bars=bars))
    return panels


def loads(results: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Encodings and connections that were measured, in order."""
    return list(dict.fromkeys((sample["encoding"], sample["connections"]) for sample in results["samples"]))


def _load(encoding: str, connections: int) -> str:
    return f"{'JSON' if encoding == 'json' else 'Binary'}, {connections} connection{'s' * (connections > 1)}"


def _ms(value: float) -> str:
    """A latency; none when nothing was answered in time."""
    return f"{value:,.2f}" if value else "-"


def _name(results: Mapping[str, Any], server: str, door: str) -> str:
    name = results["titles"][server] + (f" ({door})" if door else "")
    return f"**{name}**" if server == "inferry" else name


def _measured_on(document: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> str:
    machine = models[0]["machine"]
    dates = sorted({results["begun"][:10] for results in models})
    rounds = sorted({(results["rounds"], results["seconds"]) for results in models})
    found: dict[str, str] = {}
    for installed in document["installs"].values():  # what several have is said of the first
        other = "" if installed["python"] == machine["python"] else f" (on Python {installed['python']})"
        for name in PACKAGES:
            if name in installed["versions"]:
                found.setdefault(name, installed["versions"][name] + other)
    return (
        f"Measured {' to '.join(dates)}: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {machine['python']}, load average {machine['load']} before the first start; "
        f"load generator {document['generator']}, which shares the {machine['cores']} cores with the server under "
        f"test; {', '.join(f'{count} interleaved rounds of {seconds:g} s' for count, seconds in rounds)}. "
        f"Versions: {', '.join(f'{name} {version}' for name, version in sorted(found.items()))}.\n"
    )


def _model(results: Mapping[str, Any], charts: str) -> list[str]:
    title, words = MODELS[results["model"]]
    parts = [f"### {title}", "", words, ""]
    if charts:
        parts += [f"![{title}: requests a second of each server]({charts}/{results['model']}.svg)", ""]
    for encoding, connections in loads(results):
        parts += [
            f"{_load(encoding, connections)}:",
            "",
            "| server | requests/s | lowest-highest | ratio | p50 ms | p99 ms | CPU µs/request | errors |",
            "|---|--:|--:|--:|--:|--:|--:|--:|",
        ]
        parts += [
            f"| {_name(results, line.server, line.door)} | {line.rate:,.0f} | {line.low:,.0f}-{line.high:,.0f} "
            f"| {line.ratio:.2f}x | {_ms(line.p50)} | {_ms(line.p99)} | {line.cpu_us:,.0f} | {line.errors} |"
            for line in summary.lines(results["samples"], encoding, connections)
        ]
        parts.append("")
    if results["floor"]:
        parts += [_above_floor(results["floor"]), ""]
    return parts


def _above_floor(turns: Sequence[Mapping[str, Any]]) -> str:
    """What the bare call takes, and what Inferry adds to it."""
    bare = summary.figures(turns, "rate", "p50", "p99")
    over = [turn["served_p50"] - turn["p50"] for turn in turns]
    return (
        f"A bare loop over `session.run` in one thread, with no server: {bare['rate']:,.0f} a second, p50 "
        f"{bare['p50']:.2f} ms, p99 {bare['p99']:.2f} ms. Of {len(over)} turns with Inferry between two such loops, "
        f"one connection's p50 was {median(over):+.2f} ms from the bare one in the middle ({min(over):+.2f} "
        f"to {max(over):+.2f}), and less than half a millisecond longer in {sum(one < HALF_MS for one in over)}."
    )


def _half_load(models: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for results in models:
        for (server, door), records in summary.by_server(results["half_load"]).items():
            got = summary.figures(records, "rate", "p50", "p99")
            times = [record["p99"] / record["p50"] for record in records]
            quiet = [record["p99"] / record["p50"] for record in records if record.get("taken_ms") == 0]
            rows.append(
                f"| {MODELS[results['model']][0]} | {_name(results, server, door)} | {got['rate']:,.0f} "
                f"| {got['p50']:.2f} | {got['p99']:.2f} | {median(times):.1f}x | {min(times):.1f}-{max(times):.1f} "
                f"| {len(times)} | {f'{median(quiet):.1f}x' if quiet else ''} | {len(quiet)} "
                f"| {sum(record['errors'] for record in records)} |"
            )
    if not rows:
        return []
    return [
        "### Latency at half load",
        "",
        "256 users, who each wait for the answer and then think for a random time (exponential), ask about",
        "half of what the server answers at 64 connections just before, for a second that does not count and",
        "then for the turn. No other peer is up. nginx, where it is installed, answers all alike: what it shows is of",
        "the machine and of the generator.",
        '"To itself": the turns in which the hypervisor gave no core to another machine, by the kernel\'s count.',
        "",
        "| model | server | requests/s | p50 ms | p99 ms | p99 / p50 | range | turns | to itself | turns | errors |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
        "",
    ]


def _grpc(models: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for results in models:
        for (server, _), records in summary.by_server(results["grpc"]).items():
            got = summary.figures(records, "rate", "p50", "p99")
            rows.append(f"| {_name(results, server, '')} | {got['rate']:,.0f} | {got['p50']:.2f} | {got['p99']:.2f} |")
    if not rows:
        return []
    return [
        "### gRPC",
        "",
        "The tiny model, 16 requests in flight, `perf_analyzer` as generator:",
        "",
        "| server | requests/s | p50 ms | p99 ms |",
        "|---|--:|--:|--:|",
        *rows,
        "",
    ]


def _starts(document: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> list[str]:
    rows, seen = [], set()
    for results in models:
        for server, peer in results["peers"].items():
            alone = summary.starts(results["starts"], server)
            installed = document["installs"].get(peer)
            if alone is None or (results["titles"][server], results["model"]) in seen:
                continue
            seen.add((results["titles"][server], results["model"]))
            size = f"{installed['mb'] + alone.extra_mb:,.0f}" if installed else "?"
            rows.append(
                f"| {MODELS[results['model']][0]} | {_name(results, server, '')} | {size} | {alone.seconds:.2f} "
                f"| {alone.idle_mb:.0f} | {alone.loaded_mb:.0f} |"
            )
    return [
        "### Start, memory, size",
        "",
        "Each server alone, from its start to its first answer; memory is the proportional set size of all its",
        "processes; size is its environment on disk with all packages, for Inferry with that of the model.",
        "",
        "| model | server | installed MB | cold start s | idle MB | under load MB |",
        "|---|---|--:|--:|--:|--:|",
        *rows,
        "",
    ]


def _failures(models: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        f"- {MODELS[results['model']][0]}, {name}: {reason}"
        for results in models
        for name, reason in results["failures"].items()
    ]
    return ["### Could not take part", "", *rows, ""] if rows else []
