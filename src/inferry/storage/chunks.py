"""Chunks: many values for an `IN (...)`, in few lengths.

A database driver keeps a prepared statement for each text of SQL, and its text has as many marks as there are values.
Of 128 lengths it keeps some megabytes for each connection, of a handful next to nothing. So values are
cut into chunks and the last of a chunk is repeated, up to the next power of two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TypeVar

T = TypeVar("T")

CHUNK = 512


def chunks(values: Collection[T]) -> Iterator[list[T]]:
    """The values, at most CHUNK in each list."""
    listed = list(values)
    for start in range(0, len(listed), CHUNK):
        yield padded(listed[start : start + CHUNK])


def padded(values: Collection[T]) -> list[T]:
    """The values, the last one repeated until their number is a power of two."""
    listed = list(values)
    if listed:
        listed += listed[-1:] * ((1 << (len(listed) - 1).bit_length()) - len(listed))
    return listed
