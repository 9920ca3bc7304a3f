"""Stops: what is told of a text does not depend on how it came, and no stop is ever told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.runtimes.stops import Stops


def told(pieces, stops):
    found = Stops(stops)
    said = []
    for piece in pieces:
        said.append(found.feed(piece))
        if found.hit:
            return "".join(said), True
    return "".join(said) + found.rest(), False


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one two three", ["two"], ("one ", True)),
        ("one two three", ["four", ""], ("one two three", False)),
        ("aab", ["ab"], ("a", True)),
        ("abcd", ["abcd", "bc"], ("a", True)),
        ("xab", ["ab", "b"], ("x", True)),
        ("", ["a"], ("", False)),
    ],
)
def test_the_stop_that_ends_first_counts(text, stops, expected):
    assert told([text], stops) == expected
    assert told(list(text), stops) == expected


def test_what_may_be_the_beginning_of_a_stop_is_kept_back():
    stops = Stops(["END."])
    assert [stops.feed(piece) for piece in ("The E", "N", "D of it E", "ND")] == ["The ", "", "END of it ", ""]
    assert (stops.hit, stops.rest()) == (False, "END")


@given(st.text("ab", max_size=30), st.lists(st.text("ab", max_size=4), max_size=4), st.data())
def test_however_the_text_is_cut_the_same_is_told(text, stops, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole, hit = told([text], stops)
    assert told(pieces, stops) == (whole, hit)
    assert text.startswith(whole)
    assert not any(stop and stop in whole for stop in stops)
    assert hit == any(stop and stop in text for stop in stops)
