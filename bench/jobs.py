"""Jobs while every component is killed at random: does each acknowledged job end, and only once, and is it told of?

    python -m bench.jobs [--jobs 10000] [--seed 1] [--kills 200]

Data flow: a platform -> jobs from eight clients, each sent again under its idempotency key until it is acknowledged,
while supervised processes, replicas and zygotes get kill -9 -> the end of each, asked for twice, and the webhooks that
came -> counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.support import models
from tests.support.platform import Platform
from tests.support.receiver import Receiver
from tests.support.storm import storm, told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        platform = Platform(Path(name) / "home").start()
        try:
            platform.deploy(models.iris_onnx(Path(name)), "storm")
            with Receiver() as receiver:
                secret = platform.cli("webhooks", "add", receiver.url, "--name", "ends", "--events", "job.*")["secret"]
                begun = time.monotonic()
                ids, states, kills = storm(platform, asked.jobs, asked.seed, asked.kills, 1.5)
                print(
                    f"{len(ids)} jobs in {time.monotonic() - begun:.0f} s, ends: {states}, killed: {kills}", flush=True
                )
                counts = told(receiver, secret, ids, patience_s=120)
                twice = sum(count > 1 for count in counts.values())
                print(f"told of {len(ids & set(counts))} jobs, of {twice} of them more than once", flush=True)
        finally:
            platform.close()


if __name__ == "__main__":
    main()
