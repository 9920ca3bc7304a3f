"""From raw rounds to medians, tables, the page and its pictures."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.peers import grpc, report, summary


def sample(server, rate, turn=0, group=0, **other):
    figures = {"p50": 1.0, "p99": 2.0, "cpu_us": 50.0, "errors": 0, "encoding": "json", "connections": 64}
    return {"server": server, "door": "", "rate": rate, "round": turn, "group": group, **figures, **other}


ROUNDS = [
    sample("fastapi", 100.0, 0), sample("inferry", 500.0, 0, door="plain"),
    sample("fastapi", 200.0, 1), sample("inferry", 800.0, 1, door="plain"),
    sample("fastapi", 100.0, 2), sample("inferry", 450.0, 2, door="plain", errors=3),
    sample("fastapi", 1000.0, 0, group=1), sample("ray", 100.0, 0, group=1),
]  # fmt: skip
RESULTS = {
    "model": "tiny",
    "rounds": 3,
    "seconds": 4.0,
    "begun": "2026-11-24 10:00",
    "machine": {"processor": "P", "cores": 2, "memory_gb": 24, "system": "Linux", "python": "3.11.7", "load": 0.1},
    "titles": {"fastapi": "FastAPI", "inferry": "Inferry", "ray": "Ray Serve", "mosec": "Mosec"},
    "peers": {"fastapi": "fastapi", "inferry": "inferry", "ray": "ray", "mosec": "mosec"},
    "samples": ROUNDS,
    "starts": [
        {"server": "inferry", "seconds": s, "idle_mb": 100.0, "loaded_mb": 120.0, "extra_mb": 0.0}
        for s in (0.5, 0.7, 0.6)
    ],
    "floor": [],
    "half_load": [
        {"server": "inferry", "door": "plain", "rate": 250.0, "p50": 0.5, "p99": p99, "errors": 0, "taken_ms": taken}
        for p99, taken in ((1.25, 0), (2.5, 10), (1.5, 0))
    ],
    "grpc": [],
    "failures": {"mosec": "it ended with 1: no such file"},
}
DOCUMENT = {
    "models": {"tiny": RESULTS},
    "generator": "wrk",
    "installs": {
        "fastapi": {
            "python": "3.11.7",
            "mb": 200.0,
            "packages": 22,
            "versions": {"fastapi": "1.0", "onnxruntime": "2.0", "six": "1"},
        },
        "mosec": {"python": "3.10.2", "mb": 90.0, "packages": 5, "versions": {"mosec": "0.9", "onnxruntime": "2.0"}},
    },
}


def test_ratios_are_of_the_same_round_and_the_fastest_comes_first():
    lines = summary.lines(ROUNDS, "json", 64)
    assert [(line.server, line.ratio) for line in lines] == [("inferry", 4.5), ("fastapi", 1.0), ("ray", 0.1)]
    ours = lines[0]
    assert (ours.rate, ours.low, ours.high, ours.errors) == (500.0, 450.0, 800.0, 3)


def test_the_references_own_line_is_of_the_first_group():
    assert next(line for line in summary.lines(ROUNDS, "json", 64) if line.server == "fastapi").high == 200.0


def test_a_server_that_never_started_has_no_start():
    assert summary.starts(RESULTS["starts"], "mosec") is None
    assert summary.starts(RESULTS["starts"], "inferry").seconds == 0.6


def test_the_tables_name_everybody_and_why_somebody_is_missing():
    text = report.tables(DOCUMENT)
    assert "| **Inferry (plain)** | 500 | 450-800 | 4.50x | 1.00 | 2.00 | 50 | 3 |" in text
    assert "| Ray Serve | 100 |" in text
    assert "- Tiny model, mosec: it ended with 1: no such file" in text
    assert "which shares the 2 cores with the server under test" in text
    assert "Versions: fastapi 1.0, mosec 0.9 (on Python 3.10.2), onnxruntime 2.0.\n" in text


def test_latency_at_half_load_is_told_apart_where_the_hypervisor_took_nothing():
    assert (
        "| Tiny model | **Inferry (plain)** | 250 | 0.50 | 1.50 | 3.0x | 2.5-5.0 | 3 | 2.8x | 2 | 0 |"
        in report.tables(DOCUMENT)
    )


def test_a_turn_that_was_disturbed_or_did_not_tell_is_none_to_itself():
    turn = RESULTS["half_load"][0]
    untold = {name: value for name, value in turn.items() if name != "taken_ms"}
    text = report.tables({**DOCUMENT, "models": {"tiny": {**RESULTS, "half_load": [{**turn, "taken_ms": 20}, untold]}}})
    assert "| 250 | 0.50 | 1.25 | 2.5x | 2.5-2.5 | 2 |  | 0 | 0 |" in text


def test_what_a_server_adds_to_the_bare_call_is_the_middle_of_its_turns():
    turns = [{"rate": 250.0, "p50": 4.0, "p99": 5.0, "served_p50": served} for served in (3.7, 4.75, 4.25, 4.5)]
    text = report.tables({**DOCUMENT, "models": {"tiny": {**RESULTS, "floor": turns}}})
    assert "250 a second, p50 4.00 ms, p99 5.00 ms. Of 4 turns" in text
    assert (
        "+0.38 ms from the bare one in the middle (-0.30 to +0.75), and less than half a millisecond longer in 2."
        in text
    )


def test_publishing_replaces_what_is_between_the_markers_and_draws(tmp_path: Path):
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n\n{report.BEGIN}\nstale figures\n{report.END}\n\nafter\n")
    report.publish(DOCUMENT, page)
    text = page.read_text()
    assert text.startswith("before\n\n")
    assert text.endswith(f"{report.END}\n\nafter\n")
    assert "stale figures" not in text
    assert "](benchmarks/tiny.svg)" in text
    picture = ElementTree.parse(tmp_path / "benchmarks/tiny.svg").getroot()
    words = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "500/s  (4.50x)" in words
    report.publish(DOCUMENT, page)
    assert page.read_text() == text


def test_a_page_without_markers_is_left_alone(tmp_path: Path):
    page = tmp_path / "benchmarks.md"
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="has no markers"):
        report.publish(DOCUMENT, page)
    assert page.read_text() == "nothing"


def test_perf_analyzers_table_is_read():
    table = (
        "Concurrency,Inferences/Second,Client Send,p50 latency,p90 latency,p99 latency\n16,3032.5,7,5100,6000,9250\n"
    )
    assert grpc.read_table(table) == {"rate": 3032.5, "p50": 5.1, "p99": 9.25}
