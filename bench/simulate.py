"""`make bench-simulate`: our scaling rule and the default rules of others on six traces, in virtual time.

    python -m bench.simulate [--write docs/tasks/simulate.md]

Data flow: the command line's own code -> Results of each rule on each trace -> a table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from bench.conversion import put
from inferry.simulation.report import Question, Result, answer
from inferry.types.scaling import AUTO

BEGIN, END = "<!-- bench.simulate -->", "<!-- /bench.simulate -->"
TRACES = {
    "a day in an hour": Question(trace="diurnal", seconds=3600),
    "a crowd, 20 times in a second": Question(trace="flash", seconds=3600),
    "on 30 s, off 150 s": Question(trace="bursts", seconds=3600),
    "up and down over 10 min": Question(trace="ramps", seconds=3600),
    "steady, in clumps (cv 4)": Question(trace="steady", seconds=3600, cv=4.0),
    "now and then": Question(trace="sparse", rate=2.0, seconds=14_400),
}


FOR_DEADLINE = "inferry, for 500 ms"


def answers(question: Question) -> list[tuple[str, Result]]:
    """Of all rules with their defaults, and of ours when it is told the deadline."""
    told = msgspec.structs.replace(question.scaling, target_latency_s=question.world.deadline_s, idle_timeout_s=AUTO)
    ours = msgspec.structs.replace(question, rules=("inferry",), scaling=told)
    first, *others = [(one.rule, one) for one in answer(question)]
    return [first, (FOR_DEADLINE, answer(ours)[0]), *others]


def row(trace: str, name: str, one: Result) -> str:
    """A line of the table."""
    cells = (
        trace, name, f"{100 * one.good:.2f} %", one.lost, f"{one.p99_ms:.0f}", one.starts, one.highest,
        f"{one.replica_hours:.2f}",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="Put the table into this page, between its marks.")
    asked = parser.parse_args()
    heads = ("trace", "rule", "within 500 ms", "lost", "p99, ms", "starts", "replicas at most", "replica hours")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, question in TRACES.items():
        for place, (rule, one) in enumerate(answers(question)):
            lines.append(row("" if place else name, rule, one))
            print(lines[-1], flush=True)
    if asked.write:
        put(asked.write, "\n".join(lines), BEGIN, END)


if __name__ == "__main__":
    main()
