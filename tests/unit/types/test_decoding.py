"""Types that several threads meet for the first time at once."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = '''
import sys
import threading
import types

from inferry.client.wire import Response, read

BODY = b'{"name": "x", "numbers": [1], "by_name": {"a": 1}, "inner": {"name": "y"}}'
TYPES = """
from __future__ import annotations
import msgspec

class Inner(msgspec.Struct):
    name: str

class Outer(msgspec.Struct):
    name: str
    numbers: list[int] = []
    by_name: dict[str, int] | None = None
    inner: Inner | None = None
"""


def one(kind):
    together, names = threading.Barrier(4), []

    def first():
        together.wait()
        names.append(read(Response(200, {}, BODY), kind).inner.name)

    threads = [threading.Thread(target=first) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return names


sys.setswitchinterval(1e-6)
for number in range(200):
    module = sys.modules[f"m{number}"] = types.ModuleType(f"m{number}")
    exec(TYPES, module.__dict__)
    assert one(module.Outer) == ["y"] * 4
'''


def test_threads_may_read_the_first_answers_of_a_kind_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
