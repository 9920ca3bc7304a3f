"""Compare: two answers, field by field."""

from hypothesis import given
from hypothesis import strategies as st

from inferry.policy.compare import add, agree, compare
from inferry.types.traffic import FieldDifference

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def shape(differences):
    return {name: (field.values, field.differing, field.largest) for name, field in differences.items()}


@given(values)
def test_an_answer_agrees_with_itself(value):
    assert agree(compare(value, value))


@given(values, values)
def test_comparing_never_fails_and_counts_no_more_differences_than_values(one, other):
    for field in compare(one, other).values():
        assert 0 <= field.differing <= field.values


def test_rows_count_together_and_numbers_may_be_off_a_little():
    one = {"model": "a", "version": 1, "rows": [{"p": 0.5, "label": "x"}, {"p": 1.0, "label": "y"}]}
    other = {"model": "a", "version": 2, "rows": [{"p": 0.50001, "label": "x"}, {"p": 0.8, "label": "z"}]}
    found = shape(compare(one, other))
    assert found == {"rows[].p": (2, 1, 0.19999999999999996), "rows[].label": (2, 1, 0.0)}


def test_tensors_are_found_by_name_in_any_order():
    one = {"outputs": [{"name": "a", "data": [1, 2]}, {"name": "b", "data": [3]}]}
    other = {"outputs": [{"name": "b", "data": [3]}, {"name": "a", "data": [1, 4]}]}
    assert shape(compare(one, other)) == {"outputs.a.data[]": (2, 1, 2), "outputs.b.data[]": (1, 0, 0)}


def test_what_only_one_has_and_lists_of_another_length_differ_once():
    assert shape(compare({"a": 1, "b": [1, 2]}, {"b": [1]})) == {"a": (1, 1, 0.0), "b": (1, 1, 0.0)}
    assert shape(compare(True, 1)) == {"": (1, 0, 0.0)}
    assert not agree(compare(float("inf"), 1.0))
    assert not agree(compare(0.0, float("nan")))
    assert not agree(compare(10**400, -(10**400)))
    assert agree(compare(10**400, 10**400))


def test_sums_stay_bounded():
    total = {}
    for number in range(300):
        add(total, {f"f{number}": FieldDifference(values=1, differing=1, largest=float(number))}, limit=10)
    assert len(total) == 11
    assert (total["..."].values, total["..."].largest) == (290, 299.0)
