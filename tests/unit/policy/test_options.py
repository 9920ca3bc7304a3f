"""Options of engines: read by what the runtime declares, kept from the revision before, refused with what there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry import plugins
from inferry.errors import InvalidInput
from inferry.policy.options import settle, value_of
from inferry.types.options import Option

SLOTS = Option(name="slots", about="how many at a time", kind="integer", low=1, high=64)
SHARE = Option(name="share", about="how much of it", kind="number", low=0.1, high=0.9)
KIND = Option(name="kind", about="which one", choices=("half", "whole"))
FREE = Option(name="free", about="anything")
ALL = (SLOTS, SHARE, KIND, FREE)


def test_values_have_their_kinds():
    given = {"slots": "4", "share": "0.5", "kind": "half", "free": "{{ a }} = b"}
    assert settle("r", ALL, {}, given) == {"free": "{{ a }} = b", "kind": "half", "share": 0.5, "slots": 4}


def test_what_is_left_out_stays_and_an_empty_text_takes_back():
    assert settle("r", ALL, {"slots": 4, "kind": "half"}, {"slots": "", "free": "x"}) == {"free": "x", "kind": "half"}


def test_what_another_runtime_does_not_know_is_not_kept():
    assert settle("r", (SLOTS,), {"slots": 4, "kind": "half"}, {}) == {"slots": 4}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("slots", "0", "The option slots cannot be '0': it is a whole number from 1 to 64."),
        ("slots", "4.5", "a whole number from 1 to 64"),
        ("slots", "1e999", "a whole number"),
        ("share", "nan", "a number from 0.1 to 0.9"),
        ("share", "inf", "a number from 0.1 to 0.9"),
        ("kind", "third", "one of half, whole"),
        ("free", "x" * 70_000, "a text of up to 65536 characters"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_would(name, text, says):
    with pytest.raises(InvalidInput) as refusal:
        settle("r", ALL, {}, {name: text})
    assert says in refusal.value.message


def test_an_unknown_option_is_refused_with_those_there_are():
    with pytest.raises(InvalidInput) as refusal:
        settle("r", (SLOTS, KIND), {}, {"slot": "3"})
    assert refusal.value.message == "The runtime r has no option 'slot'."
    assert "slots (a whole number from 1 to 64): how many at a time; kind (one of half, whole)" in refusal.value.help
    with pytest.raises(InvalidInput) as refusal:
        settle("onnx", (), {}, {"slots": "3"})
    assert "It has none" in refusal.value.help


@given(st.text(max_size=20))
def test_whatever_text_comes_a_value_in_bounds_or_a_refusal_goes_out(text):
    for option in (SLOTS, SHARE):
        try:
            value = value_of(option, text)
        except InvalidInput:
            continue
        assert option.low <= value <= option.high


def test_what_runtimes_declare_can_be_loaded_without_their_frameworks():
    for name in plugins.names("inferry.options"):
        options = plugins.load("inferry.options", name)
        assert options
        assert all(option.about and option.low <= option.high for option in options)
