"""What the boosters' runtimes share: categories as numbers, classes from scores, and whose categories are kept."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from inferry.errors import InvalidModel
from inferry.runtimes.boosting import are_places, category, classified, numbered
from inferry.runtimes.feed import feed_for
from inferry.runtimes.xgboost import file_of
from inferry.types.signature import TensorSpec


def test_categories_become_their_places_and_unknown_and_missing_ones_nan():
    columns = {"city": np.array(["Rome", None, "Paris", b"Oslo"], object), "plan": np.array([20.0, np.nan, 5.0, 10.0])}
    rows = numbered(columns, {"city": ["Oslo", "Rome"], "plan": [10, 20]}, np.float64)
    np.testing.assert_array_equal(rows, [[1, 1], [np.nan, np.nan], [np.nan, np.nan], [0, 0]])


def test_numbers_stay_in_the_order_of_the_columns():
    rows = numbered({"b": np.array([1.5, 2.5]), "a": np.array([True, False])}, {}, np.float32)
    np.testing.assert_array_equal(rows, np.array([[1.5, 1], [2.5, 0]], np.float32))


def test_two_classes_come_from_one_score_and_an_even_one_is_the_first():
    answer = classified(np.array([0.25, 0.5, 0.75]))
    assert answer["label"].tolist() == [0, 0, 1]
    np.testing.assert_array_equal(answer["probabilities"], [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    assert classified(np.array([[0.1, 0.7, 0.2]]))["label"].tolist() == [1]


@pytest.mark.parametrize(
    ("values", "datatype", "nullable"),
    [(["a", "b"], "BYTES", True), ([1, 2], "FP64", True), ([0.5, 2], "FP64", True), ([False, True], "BOOL", False)],
)
def test_a_category_is_of_the_kind_of_its_values(values, datatype, nullable):
    spec = category("c", values, closed=True)
    assert (spec.datatype, spec.nullable, spec.categories) == (datatype, nullable, tuple(values))


def test_a_file_of_an_older_xgboost_has_what_json_has_not():
    booster = SimpleNamespace(save_raw=lambda _: bytearray(b'{"gains": [NaN, -Infinity, 1E0]}'))
    assert str(file_of(booster)) == "{'gains': [nan, -inf, 1.0]}"


def test_names_that_a_library_counted_are_none():
    assert are_places(["Column_0", "Column_1"], "Column_")
    assert not are_places(["0", "2"], "")


class Wrapper:
    """As an XGBClassifier looks from outside."""

    def __init__(self, *, kinds, keeps):
        kept = {"get_categories": lambda: SimpleNamespace(empty=lambda: False)} if keeps else {}
        self._booster = SimpleNamespace(feature_types=kinds, **kept)

    def get_booster(self):
        return self._booster


Wrapper.__module__ = "xgboost.sklearn"
TEXT = (TensorSpec(name="city", datatype="BYTES", shape=(-1,)),)


def test_text_goes_to_xgboost_as_categories_when_it_keeps_them():
    rows = feed_for(Wrapper(kinds=["c"], keeps=True), TEXT, table=True)({"city": np.array(["Rome"], object)})
    assert rows["city"].dtype.name == "category"


def test_text_is_refused_for_an_xgboost_that_does_not_keep_its_categories():
    with pytest.raises(InvalidModel, match="trained on categories that are not kept in it"):
        feed_for(Wrapper(kinds=["c"], keeps=False), TEXT, table=True)


def test_columns_without_categories_are_fed_as_they_are():
    rows = feed_for(Wrapper(kinds=None, keeps=False), TEXT, table=True)({"city": np.array(["Rome"], object)})
    assert rows["city"].dtype.name != "category"
