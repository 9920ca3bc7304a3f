"""`inferry simulate` as a person types it."""

from __future__ import annotations

import json

import pytest

from inferry.cli.main import run

QUICK = ("--duration", "2m", "--rate", "20")


def test_all_rules_see_the_same_requests_and_answers_are_one_document(capsys) -> None:
    assert run(["simulate", "--trace", "bursts", *QUICK, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["rule"] for one in told["results"]] == ["inferry", "knative", "ray-serve", "sagemaker"]
    assert len({one["requests"] for one in told["results"]}) == 1
    assert told["question"]["world"]["service_s"] == 0.02


def test_the_same_seed_gives_the_same_figures(capsys) -> None:
    for seed in ("1", "1", "2"):
        assert run(["simulate", *QUICK, "--seed", seed, "--rule", "inferry", "--json"]) == 0
    first, second, other = capsys.readouterr().out.splitlines()
    assert first == second != other


def test_many_endpoints_are_summed(capsys) -> None:
    assert run(["simulate", *QUICK, "--endpoints", "40", "--rule", "inferry", "--trace", "steady", "--json"]) == 0
    told = capsys.readouterr()
    assert 2000 < json.loads(told.out)["results"][0]["requests"] < 2800
    assert told.err.splitlines()[-1] == "40 of 40 endpoints are done."
    assert len(told.err.splitlines()) == 10


def test_a_latency_and_a_chosen_idle_timeout_may_be_tried(capsys) -> None:
    words = ("--rule", "inferry", "--trace", "ramps", "--rate", "40", "--duration", "10m", "--json")
    hours = []
    for options in ((), ("--target-latency", "500ms", "--idle-timeout", "auto")):
        assert run(["simulate", *words, *options]) == 0
        found = json.loads(capsys.readouterr().out)
        hours.append(found["results"][0]["replica_hours"])
        assert found["results"][0]["good"] > 0.97
    assert hours[1] < hours[0]


def test_a_trace_of_ones_own(capsys, tmp_path) -> None:
    (tmp_path / "t.csv").write_text("time,count\n100,50\n160,0\n")
    (tmp_path / "single.csv").write_text("time\n3.5\n1\n2\n")
    for name, requests in (("t.csv", 50), ("single.csv", 3)):
        assert run(["simulate", "--trace", str(tmp_path / name), "--rule", "knative", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["results"][0]["requests"] == requests


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "is no trace"), ("", "is no trace"), ("time\n1\nx\n", "line 3"), ("time\nnan\n", "line 2"),
     ("time,count\n0,-1\n", "line 2"), ("time\n0\n1e12\n", "31 days")],
)  # fmt: skip
def test_a_file_that_is_no_trace_says_where(capsys, tmp_path, text, said) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert run(["simulate", "--trace", str(tmp_path / "t.csv")]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [("--trace", "tide"), ("--trace", "none.csv"), ("--duration", "5"), ("--duration", "99d"), ("--service", "fast"),
     ("--min", "9", "--max", "2"), ("--rate", "0"), ("--rule", "luck"), ("--target-latency", "1s", "--target-concurrency", "3")],
)  # fmt: skip
def test_wrong_words_are_told(capsys, words) -> None:
    assert run(["simulate", *words]) == 2
    assert capsys.readouterr().err
