"""Segments: shared memory in which large bodies go to a replica and its answers come back.

Data flow: a link's Pool -> Lease of a segment -> the client's bytes are received into it -> the
replica reads them there, and may write its answer there -> the client is sent the answer from
there -> nobody holds the lease any more, and the segment is used again: its pages are warm and
both sides have it mapped already.

The gateway makes every segment and seals its size, so a replica cannot shrink it under us.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import weakref

PAGE = 4096
SMALLEST = 128 << 10
MOST_BYTES = 256 << 20
IDLE_BYTES = 64 << 20
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Segment:
    """A piece of memory. `descriptor` is open until the replica has it; `used`: since the pool was last trimmed."""

    __slots__ = ("capacity", "descriptor", "id", "memory", "used")

    def __init__(self, id: int, capacity: int) -> None:
        self.id = id
        self.capacity = capacity
        self.used = True
        self.descriptor = os.memfd_create("inferry-body", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, capacity)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, SEALS)
        self.memory = mmap.mmap(self.descriptor, capacity)

    def sent(self) -> None:
        """The replica has it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Lease:
    """The use of a segment for one request. It ends when nothing refers to it any more."""

    __slots__ = ("__weakref__", "offset", "pool", "segment", "size")

    def __init__(self, pool: Pool, segment: Segment, offset: int, size: int) -> None:
        self.pool = pool
        self.segment = segment
        self.offset = offset
        self.size = size

    def __len__(self) -> int:
        return self.size

    def body(self) -> memoryview:
        """The request's body."""
        return memoryview(self.segment.memory)[self.offset : self.offset + self.size]

    def answer(self, size: int) -> memoryview:
        """The answer, which keeps the lease as long as any part of it is referred to.

        Raises ValueError when it cannot be that long.
        """
        if size > self.segment.capacity:
            raise ValueError(f"an answer of {size} bytes in a segment of {self.segment.capacity}")
        held = (ctypes.c_ubyte * self.segment.capacity).from_buffer(self.segment.memory)
        weakref.finalize(held, _let_go, self).atexit = False
        return memoryview(held)[:size]

    def __del__(self) -> None:
        self.pool.give(self.segment)


def _let_go(lease: Lease) -> None:
    """The last who held this lease is gone."""


class Pool:
    """The segments shared with one replica. `most`: bytes of them (0: on another machine, where none can be)."""

    def __init__(self, most: int | None = None) -> None:
        self._most = MOST_BYTES if most is None else most
        self._free: dict[int, list[Segment]] = {}
        self._over: list[int] = []
        self._bytes = self._idle = self._made = 0
        self._closed = False

    def take(self, size: int, align: int = 0) -> Lease | None:
        """Room for a body of `size` bytes, whose byte `align` lies on a cache line; None when there is too much."""
        offset = -align % 64
        capacity = max(SMALLEST, 1 << (size + offset - 1).bit_length())
        free = self._free.get(capacity)
        if free:
            segment = free.pop()
            segment.used = True
            self._idle -= capacity
        elif self._bytes + capacity > self._most or self._closed:
            return None
        else:
            self._made += 1
            segment = Segment(self._made, capacity)
            self._bytes += capacity
        return Lease(self, segment, offset, size)

    def give(self, segment: Segment) -> None:
        """A lease is over. What the replica never got is not kept: its descriptor would stay open."""
        if self._closed or segment.descriptor >= 0 or self._idle + segment.capacity > IDLE_BYTES:
            self._end(segment)
        else:
            self._idle += segment.capacity
            self._free.setdefault(segment.capacity, []).append(segment)

    def trim(self) -> None:
        """Let go of what was not used since the last call."""
        for capacity, free in self._free.items():
            kept = [segment for segment in free if segment.used]
            for segment in free:
                if not segment.used:
                    self._idle -= capacity
                    self._end(segment)
                segment.used = False
            self._free[capacity] = kept

    def over(self) -> list[int]:
        """Segments that the replica may forget, told once."""
        ended, self._over = self._over, []
        return ended

    def close(self) -> None:
        """The replica is gone."""
        self._closed = True
        for free in self._free.values():
            for segment in free:
                segment.sent()
        self._free.clear()

    def _end(self, segment: Segment) -> None:
        self._bytes -= segment.capacity
        if segment.descriptor < 0:
            self._over.append(segment.id)
        segment.sent()
