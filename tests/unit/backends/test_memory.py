"""The gauge: what processes hold, from their counters while those stay, counted page by page when they move."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from inferry.backends.memory import Gauge, held_by
from inferry.types.density import Held

MB = 1000


class Proc:
    """A folder like /proc, in kB."""

    def __init__(self, folder):
        self.folder = folder
        self.counted = 0

    def write(self, pid, *, resident, private, peak=None, children=()):
        place = self.folder / str(pid)
        (place / "task" / str(pid)).mkdir(parents=True, exist_ok=True)
        (place / "task" / str(pid) / "children").write_text(" ".join(map(str, children)))
        (place / "status").write_text(f"Name:\tmodel\nVmHWM:\t{peak or resident} kB\nVmRSS:\t{resident} kB\n")
        (place / "smaps_rollup").write_text(f"Rss: {resident} kB\nPrivate_Clean: 0 kB\nPrivate_Dirty: {private} kB\n")


@pytest.fixture
def world(tmp_path):
    world = SimpleNamespace(proc=Proc(tmp_path), now=0.0)
    world.proc.write(7, resident=100 * MB, private=40 * MB)
    world.gauge = Gauge(7, tmp_path, lambda: world.now)
    return world


def held(private, peak=None):
    return Held(private=private * MB * 1024, peak=(peak or private) * MB * 1024)


def test_pages_are_counted_at_ages_that_double(world) -> None:
    counted = []
    for second in range(200):
        world.now = float(second)
        world.proc.write(7, resident=100 * MB, private=40 * MB + second)  # written to, and no longer shared
        found = world.gauge.held()
        if not counted or found.private != counted[-1][1]:
            counted.append((second, found.private))
    assert [second for second, _ in counted] == [0, 1, 2, 4, 8, 16, 32, 64, 124, 184]


def test_between_counts_the_counters_are_followed(world) -> None:
    assert world.gauge.held() == held(40)
    world.proc.write(7, resident=102 * MB, private=0)
    assert world.gauge.held() == held(42)
    world.proc.write(7, resident=99 * MB, private=0, peak=103 * MB)
    assert world.gauge.held() == held(39, peak=43)


def test_what_moved_much_is_counted_at_once(world) -> None:
    world.gauge.held()
    world.proc.write(7, resident=105 * MB, private=77 * MB)
    assert world.gauge.held() == held(77)
    world.proc.write(7, resident=100 * MB, private=12 * MB, peak=105 * MB)
    assert world.gauge.held() == held(12, peak=17)


def test_what_a_process_started_counts_with_it_and_nobody_is_none(world, tmp_path) -> None:
    world.gauge.held()
    world.proc.write(7, resident=100 * MB, private=40 * MB, children=[8])
    world.proc.write(8, resident=50 * MB, private=50 * MB)
    assert world.gauge.held() == held(90)
    assert Gauge(9, tmp_path).held() is None


def test_of_a_real_process_it_says_what_the_kernel_counts() -> None:
    gauge = Gauge(os.getpid())
    found, kernel = gauge.held(), held_by(os.getpid())
    assert found is not None
    assert kernel is not None
    assert abs(found.private - kernel.private) < 4_000_000
    kept = bytearray(os.urandom(1 << 20)) * 50
    grown = gauge.held()
    assert grown is not None
    assert 40_000_000 < grown.private - found.private < 80_000_000
    del kept
