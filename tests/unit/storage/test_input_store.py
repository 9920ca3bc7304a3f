"""Requests that are kept, in the store: each once, the oldest go first, within bounds."""

from __future__ import annotations

import pytest

from inferry.storage import open_store
from inferry.types.replay import InputsKept, KeptInput


@pytest.fixture
def store(database_url):
    store = open_store(database_url)
    yield store
    assert store.check() == []
    store.close()


def kept(request, at, *, endpoint="fraud", body=b"\x00\xffbody"):
    return KeptInput(
        endpoint=endpoint, request=request, revision=3, version=2, at=at, door=2, media="application/json",
        encoding="gzip", json_size=7, body=body,
    )  # fmt: skip


def test_a_request_is_kept_once_as_it_came(store) -> None:
    store.add_inputs([kept("a", 1.0), kept("b", 2.0), kept("a", 9.0), kept("a", 3.0, endpoint="other")])
    store.add_inputs([kept("b", 7.0), kept("c", 4.0)])
    assert store.inputs("fraud", 0.0, 10) == [kept("a", 1.0), kept("b", 2.0), kept("c", 4.0)]
    assert [one.request for one in store.inputs("fraud", 1.5, 1)] == ["c"]
    assert store.inputs_kept("fraud") == InputsKept(endpoint="fraud", requests=3, bytes=18, oldest=1.0, newest=4.0)
    assert store.inputs_kept("nobody") == InputsKept(endpoint="nobody")


@pytest.mark.parametrize(
    ("bounds", "left"),
    [
        ((0.0, 100, 10**9), ["0", "1", "2", "3", "4"]),
        ((2.0, 100, 10**9), ["2", "3", "4"]),
        ((0.0, 2, 10**9), ["3", "4"]),
        ((0.0, 100, 25), ["3", "4"]),
        ((0.0, 100, 5), []),
        ((float("inf"), 0, 0), []),
    ],
)
def test_what_is_old_or_too_much_goes_the_oldest_first(store, bounds, left) -> None:
    store.add_inputs([kept(str(n), float(n), body=b"0123456789") for n in range(5)])
    store.add_inputs([kept("x", 1e9, endpoint="other")])
    assert store.forget_inputs(*bounds, endpoint="fraud") == 5 - len(left)
    assert [one.request for one in store.inputs("fraud", 0.0, 10)] == left
    assert store.inputs_kept("other").requests == 1
    store.forget_inputs(float("inf"), 0, 0)
    assert store.inputs_kept("other").requests == 0
