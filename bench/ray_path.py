"""What it costs that a replica is on another machine: the same requests to one here and to one on a Ray node.

A platform with a local replica, and one whose replica runs in a network namespace of its own on a real Ray cluster; the
same tiny ONNX model in both. By turns, in one run: so many requests under way to the one, then to the other; and users
who ask the one, then the other, so many times a second (with wrk). Medians of the rounds' p50, their difference and
ratio. Needs root, `ip` and the package ray.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.connection import Post
from bench.conversion import put
from bench.load import generator, run, users
from tests.support import models
from tests.support.platform import Platform
from tests.support.ray_cluster import RayCluster, missing

CONCURRENCY = (1, 8)
RATE = 1000.0
SECONDS = 3.0
BEGIN, END = "<!-- bench.ray_path -->", "<!-- /bench.ray_path -->"


def main() -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", type=Path, help="a page to put the table into")
    arguments = parser.parse_args()
    if why := missing():
        print(why, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        cluster = RayCluster(nodes=1)
        here = Platform(Path(folder) / "here")
        there = Platform(Path(folder) / "there", "--backend", "ray", env=cluster.env)
        try:
            cluster.start()
            there.arguments += ("--ray-address", cluster.address)
            model = models.iris_onnx(Path(folder))
            platforms = {"here": here.start(), "there": there.start()}
            for platform in platforms.values():
                platform.deploy(model, "iris")
            table = tabulate(measure(platforms, arguments.rounds))
        finally:
            for one in (there, here, cluster):
                one.close()
    print(table)
    if arguments.write:
        put(arguments.write, table, BEGIN, END)
    return 0


def bodies() -> dict[str, list[list[float]]]:
    """What is asked: one row, and many."""
    return {"1 row": models.IRIS_ROWS[:1], "500 rows, 10 KB": models.IRIS_ROWS * 250}


def measure(platforms: dict[str, Platform], rounds: int) -> dict[tuple[str, str], dict[str, tuple[float, float]]]:
    """By body and concurrency: where the replica is -> median of the p50 (ms), and of the requests a second."""
    found = {}
    for body, rows in bodies().items():
        posts = {
            where: Post(
                url=f"{platform.http}/predict/iris", body=json.dumps(rows).encode(),
                headers={"authorization": f"Bearer {platform.key}", "content-type": "application/json"},
            )
            for where, platform in platforms.items()
        }  # fmt: skip
        rates = {f"{RATE:,.0f} a second": partial(users, rate=RATE)} if generator() == "wrk" and len(rows) == 1 else {}
        for how, load_of in {**{str(count): partial(run, connections=count) for count in CONCURRENCY}, **rates}.items():
            loads = {where: [] for where in platforms}
            for number in range(rounds + 1):
                for where in sorted(posts, reverse=bool(number % 2)):
                    load = load_of(posts[where], seconds=SECONDS)
                    assert not load.errors, (where, load)
                    if number:  # the first warms up
                        loads[where].append(load)
            found[body, how] = {
                where: (statistics.median(each.p50 for each in all_), statistics.median(each.rate for each in all_))
                for where, all_ in loads.items()
            }
            print(body, how, found[body, how], file=sys.stderr, flush=True)
    return found


def tabulate(found: dict[tuple[str, str], dict[str, tuple[float, float]]]) -> str:
    """The table for people."""
    lines = [
        "| body | under way | p50 here | p50 on a node | difference | ratio | requests/s here | on a node |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (body, how), at in found.items():
        (near, near_rate), (far, far_rate) = at["here"], at["there"]
        lines.append(
            f"| {body} | {how} | {near:.2f} ms | {far:.2f} ms | {far - near:+.2f} ms | {far / near:.2f} "
            f"| {near_rate:,.0f} | {far_rate:,.0f} |"
        )
    told = f"On {os.cpu_count()} cores, which the load ({generator()}), both platforms and Ray's processes share."
    return "\n".join([*lines, "", told])


if __name__ == "__main__":
    sys.exit(main())
