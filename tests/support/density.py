"""Many models on little memory: what is deployed, who asks for it, and what the replicas really hold meanwhile."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import joblib
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.neighbors import KNeighborsRegressor

from inferry.backends.memory import held_by, tree
from tests.support import models
from tests.support.platform import Platform

COLD = "x-inferry-cold-start"
WIDTH = 256


@dataclass(frozen=True)
class Kind:
    """A bundle: its file, a sample, and a body that it answers."""

    name: str
    path: Path
    sample: Path | None
    body: Any


def lookup_onnx(folder: Path, megabytes: float) -> Kind:
    """A table of so many MB, whose rows are looked up: quick to ask, whatever its size."""
    rows = max(4, round(megabytes * 1e6 / 4 / WIDTH))
    table = np.random.default_rng(rows).standard_normal((rows, WIDTH), dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "id"], ["row"]),
            helper.make_node("ReduceSum", ["row", "axes"], ["sum"], keepdims=1),
        ],
        "lookup",
        [helper.make_tensor_value_info("id", TensorProto.INT64, ["rows"])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    name = f"onnx-{megabytes:g}".replace(".", "-")
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return Kind(name, path, None, [{"id": 1}])


def external_onnx(folder: Path, megabytes: float) -> Kind:
    """The same with its table in a file of its own."""
    plain = lookup_onnx(folder, megabytes)
    into = folder / f"{plain.name}-external"
    into.mkdir()
    onnx.save(onnx.load(plain.path), into / "model.onnx", save_as_external_data=True, location="table.bin")
    return Kind(into.name, into, None, [{"id": row} for row in range(0, round(megabytes * 1e6 / 4 / WIDTH), 16)])


def mapped_numpy(folder: Path, megabytes: float) -> Kind:
    """A class that maps an array from a file beside it."""
    into = folder / "mapped"
    into.mkdir()
    np.save(into / "table.npy", np.ones(int(megabytes * 1e6 / 8)))
    models.python_file(
        into, "model",
        "import numpy as np\nfrom pathlib import Path\n\n"
        "class Mapped:\n"
        "    def load(self):\n"
        "        self.table = np.load(Path(__file__).with_name('table.npy'), mmap_mode='r')\n\n"
        "    def predict(self, inputs):\n"
        "        return {'y': [float(self.table.sum()) for _ in inputs['x']]}\n",
    )  # fmt: skip
    return Kind("mapped", into, models.column_sample(folder / "mapped-sample", "x", [1, 2]), {"x": 1})


def neighbours(folder: Path, megabytes: float) -> Kind:
    """A scikit-learn model that keeps all its training data."""
    rows = np.random.default_rng(1).random((int(megabytes * 1e6 / 8 / 16), 16))
    model = KNeighborsRegressor(1, algorithm="brute").fit(rows, rows[:, 0])
    path = folder / "neighbours.joblib"
    joblib.dump(model, path)
    sample = folder / "neighbours.csv"
    sample.write_text(",".join(f"c{n}" for n in range(16)) + "\n" + ",".join("0.5" for _ in range(16)) + "\n")
    return Kind("neighbours", path, sample, [{f"c{n}": 0.5 for n in range(16)}])


def sorted_python(folder: Path, megabytes: float, passes: int) -> Kind:
    """A class that sorts so many MB so many times before it answers: slow to load for what it holds."""
    name = f"python-{megabytes:g}-{passes}"
    path = models.python_file(
        folder / name, "model",
        "import numpy as np\n\n"
        "class Sorted:\n"
        "    def load(self):\n"
        "        made = np.random.default_rng(1)\n"
        f"        for _ in range({passes}):\n"
        f"            self.table = made.random({int(megabytes * 1e6 / 8)})\n"
        "            self.table.sort()\n\n"
        "    def predict(self, inputs):\n"
        "        return {'y': [float(self.table[int(x)]) for x in inputs['x']]}\n",
    )  # fmt: skip
    return Kind(name, path, models.column_sample(folder / f"{name}-sample", "x", [1, 2]), {"x": 1})


class Deployed(NamedTuple):
    """An endpoint, its bundle, and how long its deploy took."""

    name: str
    kind: Kind
    ms: float


def deploy(kinds: Sequence[Kind], count: int, client: Any) -> Iterator[Deployed]:
    """So many endpoints on these bundles, by turns, each asleep when nobody asks."""
    for number in range(count):
        kind, name = kinds[number % len(kinds)], f"dense-{number}"
        if number < len(kinds):
            client.push(kind.path, kind.name, kind.sample)
        begun = time.perf_counter()
        client.deploy(f"{kind.name}:1", name, min_replicas=0, max_replicas=1, idle_timeout_s=3600)
        yield Deployed(name, kind, (time.perf_counter() - begun) * 1000)


def zipf(names: Sequence[str], exponent: float, count: int, rate: float, seed: int) -> list[tuple[float, str]]:
    """When who is asked for: a Poisson process, and names as popular as Zipf says, in an order of its own."""
    chance = random.Random(seed)
    shuffled = chance.sample(list(names), len(names))
    sums = list(accumulate((place + 1) ** -exponent for place in range(len(names))))
    at, trace = 0.0, []
    for _ in range(count):
        at += chance.expovariate(rate)
        trace.append((at, chance.choices(shuffled, cum_weights=sums)[0]))
    return trace


@dataclass(frozen=True)
class Answered:
    """One request: when it was due, whom it asked, the status, its latency in s, and how long it waited for a start."""

    due: float
    name: str
    status: int
    latency: float
    cold_ms: int
    text: str


async def ask(platform: Platform, endpoints: dict[str, Kind], trace: list[tuple[float, str]]) -> list[Answered]:
    """Every request at its time, whether or not earlier ones are answered."""
    limits, key = httpx.Limits(max_connections=256), {"authorization": f"Bearer {platform.key}"}
    async with httpx.AsyncClient(limits=limits, headers=key, timeout=90) as client:
        begun = time.perf_counter()

        async def one(due: float, name: str) -> Answered:
            await asyncio.sleep(max(0.0, begun + due - time.perf_counter()))
            answer = await client.post(f"{platform.http}/predict/{name}", json=endpoints[name].body)
            spent = time.perf_counter() - begun - due
            cold = int(answer.headers.get(COLD, 0))
            return Answered(due, name, answer.status_code, spent, cold, answer.text[:300])

        return list(await asyncio.gather(*(one(due, name) for due, name in trace)))


@dataclass
class Samples:
    """What the replicas held, all together, in bytes; and how many there were."""

    held: list[int] = field(default_factory=list)
    replicas: list[int] = field(default_factory=list)


def zygotes(platform: Platform) -> list[int]:
    """The processes that replicas are forked from."""
    return [pid for pid in tree(platform.control_pid())[1:] if b"boot.py" in cmdline(pid) and parent_is_other(pid)]


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def parent_is_other(pid: int) -> bool:
    """Whether it was started, and not forked by one of its kind."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    parent = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
    return b"boot.py" not in cmdline(parent)


@contextmanager
def sampled(platform: Platform, every_s: float) -> Iterator[Samples]:
    """Look at the replicas from outside, those that only start included, until the block ends."""
    found, over = Samples(), threading.Event()
    parents = zygotes(platform)

    def look() -> None:
        while not over.wait(every_s):
            held = [one for zygote in parents for pid in children(zygote) if (one := held_by(pid)) is not None]
            found.held.append(sum(one.private for one in held))
            found.replicas.append(len(held))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
