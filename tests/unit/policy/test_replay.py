"""Replay: when each request is sent again, with what, and what a difference is."""

from __future__ import annotations

import pytest

from inferry.errors import InvalidInput
from inferry.policy.compare import agree
from inferry.policy.replay import check_ask, differences, due, headers_of
from inferry.types.replay import KeptInput, ReplayAsk, Replayed


def kept(at: float, **more) -> KeptInput:
    return KeptInput(endpoint="e", request="r", revision=1, version=1, at=at, door=2, **more)


@pytest.mark.parametrize(
    "ask", [{"last": 0}, {"last": float("nan")}, {"last": 1e9}, {"rate": -1}, {"rate": float("nan")}, {"rate": 1e9},
            {"most": 0}, {"most": 10_001}],
)  # fmt: skip
def test_a_wish_that_cannot_be_carried_out_is_refused(ask) -> None:
    with pytest.raises(InvalidInput):
        check_ask(ReplayAsk(to="1", **ask))


def test_requests_keep_their_distances_at_a_rate() -> None:
    came = [kept(10.0), kept(12.0), kept(12.0), kept(11.0), kept(20.0)]
    assert due(came, 2.0) == [0.0, 1.0, 1.0, 0.5, 5.0]
    assert due(came, 0.0) == [0.0] * 5
    assert due([], 1.0) == []


def test_only_what_the_body_needs_goes_along() -> None:
    assert headers_of(kept(0.0)) == {}
    assert headers_of(kept(0.0, media="text/csv", encoding="gzip", json_size=9)) == {
        "content-type": "text/csv", "content-encoding": "gzip", "inference-header-content-length": "9",
    }  # fmt: skip


def test_answers_are_compared_by_field_where_they_are_json() -> None:
    json = "application/json; charset=utf-8"
    assert agree(differences(json, b'{"version": 1, "y": [1.0]}', b'{"version": 2, "y": [1.0000001]}'))
    found = differences(json, b'{"y": [{"a": 1, "b": 2}]}', b'{"y": [{"a": 1, "b": 3}]}')
    assert {name: field.differing for name, field in found.items()} == {"y[].a": 0, "y[].b": 1}
    assert not agree(differences(json, b'{"y": ', b'{"y": 1}'))
    assert not agree(differences("image/png", b"1.0", b"1.00"))


def test_what_failed_counts_as_different() -> None:
    assert Replayed(endpoint="e", revision=2, version=2, compared=10, equal=8, failed=3).differing == 5
