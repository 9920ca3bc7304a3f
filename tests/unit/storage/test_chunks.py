"""Values for an `IN (...)`: all of them and no others, in few lengths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inferry.storage.chunks import CHUNK, chunks


@given(st.integers(0, 3 * CHUNK))
def test_all_are_there_and_lengths_are_few(count: int) -> None:
    found = list(chunks(range(count)))
    assert [value for chunk in found for value in dict.fromkeys(chunk)] == list(range(count))
    assert all(len(chunk) in {1 << power for power in range(10)} for chunk in found)
