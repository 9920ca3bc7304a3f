"""Names and references."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inferry.errors import InvalidName
from inferry.types.names import check_name, parse_reference, suggest_name

names = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z").map(lambda text: text.rstrip("\n"))


@given(names)
def test_names_by_the_rule_are_taken(name):
    assert check_name(name) == name
    assert parse_reference(name) == (name, None)


@pytest.mark.parametrize(
    "name",
    ["", "-", "a-", "-a", "A", "a_b", "a b", "a\n", "é", "a" * 64, "../x", "a/b", "a:1", "a\0", "\u0663", None, 7],
)
def test_all_else_is_refused_with_the_rule(name):
    with pytest.raises(InvalidName, match="not a valid model name") as refused:
        check_name(name, "model name")
    assert "63" in refused.value.help


@given(st.text())
def test_a_refusal_shows_at_most_the_start_of_the_name_and_no_control_characters(text):
    assume(not re.fullmatch("[a-z0-9-]{1,63}", text))
    with pytest.raises(InvalidName) as refused:
        check_name(text)
    assert len(refused.value.message) < 500
    assert refused.value.message.isascii()
    assert refused.value.message.isprintable()


@given(st.text())
def test_a_suggestion_is_always_a_valid_name(text):
    assert check_name(suggest_name(text))


@given(names)
def test_a_valid_name_is_its_own_suggestion_but_for_double_dashes(name):
    assert suggest_name(name) == re.sub("-+", "-", name)


@given(names, st.integers(1, 999_999_999))
def test_references_round_trip(name, number):
    assert parse_reference(f"{name}:{number}") == (name, number)


@pytest.mark.parametrize(
    "text", ["a:", "a:0", "a:01", "a:x", "a:-1", "a:1:2", "a:1234567890", ":1", "a:1\n", "a:\u0661"]
)
def test_bad_references_are_refused(text):
    with pytest.raises(InvalidName):
        parse_reference(text)
