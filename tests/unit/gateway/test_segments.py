"""Segments: shared memory for large bodies is used again, bounded, and safe from the other side."""

import fcntl
import mmap
import os

import pytest

from inferry.gateway import segments
from inferry.gateway.segments import IDLE_BYTES, SMALLEST, Pool


def lent(pool, size, data=b"", align=0):
    lease = pool.take(size, align)
    lease.body()[: len(data)] = data
    lease.segment.sent()
    return lease


def test_a_segment_is_used_again_when_nobody_holds_its_lease():
    pool = Pool()
    first = lent(pool, 100_000, b"one")
    other = lent(pool, 100_000)
    assert first.segment is not other.segment
    kept = first.segment
    del first
    assert lent(pool, 90_000).segment is kept


def test_an_answer_keeps_the_segment_until_it_is_written():
    pool = Pool()
    lease = lent(pool, 100_000, b"the answer")
    segment, view = lease.segment, lease.answer(10)
    del lease
    assert lent(pool, 100_000).segment is not segment
    assert bytes(view) == b"the answer"
    part = view[4:]
    del view
    assert lent(pool, 100_000).segment is not segment
    assert bytes(part) == b"answer"
    del part
    assert segment in [lease.segment for lease in [lent(pool, 100_000) for _ in range(2)]]


def test_an_answer_longer_than_the_segment_is_refused():
    lease = lent(Pool(), 100_000)
    with pytest.raises(ValueError, match="segment"):
        lease.answer(lease.segment.capacity + 1)


def test_sizes_are_rounded_up_and_the_data_begins_on_a_cache_line():
    pool = Pool()
    assert lent(pool, 1).segment.capacity == SMALLEST
    for align in (0, 1, 63, 64, 137):
        lease = lent(pool, 200_000, align=align)
        assert (lease.offset + align) % 64 == 0
        assert lease.segment.capacity >= lease.offset + 200_000


def test_the_other_side_cannot_shrink_or_grow_it():
    lease = Pool().take(100_000)
    segment = lease.segment
    other = os.dup(segment.descriptor)
    try:
        for size in (0, segment.capacity - 1, segment.capacity + 1):
            with pytest.raises(PermissionError):
                os.ftruncate(other, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(other, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        with mmap.mmap(other, 0) as seen:
            assert len(seen) == segment.capacity
    finally:
        os.close(other)


def test_there_is_a_bound_and_beyond_it_none(monkeypatch):
    monkeypatch.setattr(segments, "MOST_BYTES", 4 * SMALLEST)
    pool = Pool()
    leases = [pool.take(1000) for _ in range(5)]
    assert [lease is not None for lease in leases] == [True] * 4 + [False]
    leases.clear()
    assert pool.take(1000) is not None


def test_what_lies_idle_is_let_go_and_the_replica_told_once():
    pool = Pool()
    lease = lent(pool, 1000)
    lease.segment.sent()
    number = lease.segment.id
    del lease
    pool.trim()
    assert pool.over() == []  # used since the last time
    pool.trim()
    assert pool.over() == [number]
    assert pool.over() == []
    assert lent(pool, 1000).segment.id != number


def test_little_is_kept_idle():
    pool = Pool()
    leases = [lent(pool, IDLE_BYTES // 2) for _ in range(3)]
    for lease in leases:
        lease.segment.sent()
    del lease
    leases.clear()
    assert len(pool.over()) == 1


def test_after_the_end_nothing_is_lent_and_what_comes_back_is_dropped():
    pool = Pool()
    lease = pool.take(1000)
    lease.body()[:1] = b"x"
    pool.close()
    assert pool.take(1000) is None
    assert bytes(lease.body()[:1]) == b"x"
    descriptor = lease.segment.descriptor
    del lease
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


def test_a_segment_that_the_replica_never_got_is_closed_at_once():
    pool = Pool()
    lease = pool.take(1000)
    descriptor = lease.segment.descriptor
    del lease
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)
    pool.trim()
    assert pool.over() == []
