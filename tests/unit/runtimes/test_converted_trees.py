"""Boosted trees as ONNX: each decides as its library would, at the thresholds, where nothing is, and for categories."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.runtimes.converters import NotConvertible, catboost, lightgbm, xgboost
from inferry.runtimes.converters.boosted import Boosted, Members, conversions
from inferry.runtimes.converters.trees import Forest, Tree, leaf
from inferry.runtimes.onnx_converted import ConvertedModel
from inferry.types.signature import Signature, TensorSpec

TINY = float(np.float32(1e-35))


def session(proto):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def answers(model, rows, *, datatype="FP64", names=("prediction",), dtype="FP64"):
    """What each graph of the model answers to a matrix."""
    outputs = tuple(
        TensorSpec(name=name, datatype="INT64" if name == "label" else dtype, shape=(-1,)) for name in names
    )
    specs = (TensorSpec(name="x", datatype=datatype, shape=(-1, rows.shape[1])),)
    signature = Signature(kind="tensors", inputs=specs, outputs=outputs, batchable=True)
    found = []
    for proto, plan in conversions([model], signature, "test").graphs:
        values = session(proto).run(list(plan.answers.values()), {"X": rows})
        found.append(dict(zip(plan.answers, values, strict=True)))
    return found


def predictions(model, rows, **more):
    return [one["prediction"].ravel().tolist() for one in answers(model, rows, **more)]


@st.composite
def trees(draw, features=3):
    """A tree of random shape, with thresholds that rows are likely to meet."""
    inner = draw(st.integers(0, 6))
    left, right, free = np.zeros(inner, int), np.zeros(inner, int), iter(range(inner + 1))
    slots = [(left, 0), (right, 0)] if inner else []
    for node in range(1, inner):
        side, parent = slots.pop(draw(st.integers(0, len(slots) - 1)))
        side[parent] = node
        slots += [(left, node), (right, node)]
    for side, parent in slots:
        side[parent] = ~next(free)
    numbers = st.lists(st.sampled_from([-1.5, -0.1, 0.0, 0.1, 1 / 3, 2.0]), min_size=inner + 1, max_size=inner + 1)
    whole = st.lists(st.integers(0, features - 1), min_size=inner, max_size=inner)
    return Tree(
        feature=np.array(draw(whole), dtype=int), threshold=np.array(draw(numbers)[:inner]), left=left, right=right,
        missing_left=np.array(draw(st.lists(st.booleans(), min_size=inner, max_size=inner)), dtype=bool),
        values=np.array(draw(numbers)).reshape(-1, 1),
    )  # fmt: skip


def walk(tree, row, *, strict):
    node = 0 if len(tree.feature) else ~0
    while node >= 0:
        value, threshold = row[tree.feature[node]], tree.threshold[node]
        below = (
            tree.missing_left[node] if math.isnan(value) else value < threshold or (not strict and value == threshold)
        )
        node = (tree.left if below else tree.right)[node]
    return tree.values[~node, 0]


@settings(max_examples=40, deadline=None)
@given(st.lists(trees(), min_size=1, max_size=4), st.booleans(), st.integers(0, 2**32 - 1))
def test_trees_of_any_shape_add_up_to_what_a_walk_through_them_does(grown, strict, seed):
    random = np.random.default_rng(seed)
    rows = random.choice([-2.0, -1.5, -0.1, 0.0, 0.1, 1 / 3, np.nextafter(1 / 3, 1), np.nan, np.inf], (20, 3))
    wanted = [sum(walk(tree, row, strict=strict) for tree in grown) for row in rows]
    model = Boosted(forest=Forest(trees=grown, strict=strict, double=True), members=Members(3), link="identity")
    newer, older = predictions(model, rows)
    assert newer == wanted
    np.testing.assert_allclose(older, wanted, rtol=1e-6)


LIGHTGBM = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective={objective}
feature_names=Column_0 Column_1

Tree=0
num_leaves={leaves}
num_cat={cats}
split_feature={features}
threshold={thresholds}
decision_type={kinds}
left_child={lefts}
right_child={rights}
leaf_value={values}
{more}is_linear={linear}
shrinkage=1


end of trees

pandas_categorical:null
"""
STUMP = {
    "objective": "regression", "leaves": 2, "cats": 0, "features": "0", "thresholds": "0.10000000000000001",
    "kinds": "2", "lefts": "-1", "rights": "-2", "values": "1.5 -1", "more": "", "linear": 0,
}  # fmt: skip


def lgb(classes=0, values=None, **changes):
    return lightgbm.read(LIGHTGBM.format(**{**STUMP, **changes}), values or {}, classes)


def column(*values):
    return np.array([[value, 0.0] for value in values])


def test_lightgbm_compares_in_64_bits():
    rows = column(0.1, np.nextafter(0.1, 1), np.nextafter(0.1, 0), float(np.float32(0.1)))
    assert predictions(lgb(), rows) == [[1.5, -1, 1.5, -1]] * 2


@pytest.mark.parametrize(
    ("threshold", "kind", "ways"),
    [
        (repr(TINY), "2", "LLLLLLLRRRL"),
        (repr(-TINY), "0", "LLRRRRRRRRR"),
        ("0", "0", "LLLLLLLRRRL"),
        ("0.5", "8", "LLLLLLLLLRR"),  # missing values go right
        ("0.5", "10", "LLLLLLLLLRL"),  # and left
        ("-0.5", "10", "LRRRRRRRRRL"),
        ("0.5", "4", "LLRRRRRLLRR"),  # zeros are missing, and go right
        ("-0.5", "6", "LRLLLLLRRRL"),  # and left
    ],
)
def test_lightgbm_takes_what_is_near_zero_for_zero_and_sends_what_is_missing_its_way(threshold, kind, ways):
    rows = column(-1.0, -2e-35, -TINY, -1e-36, 0.0, 1e-36, TINY, 2e-35, 0.25, 1.0, math.nan)
    for found in predictions(lgb(thresholds=threshold, kinds=kind), rows):
        assert "".join("L" if value == 1.5 else "R" for value in found) == ways


def test_lightgbm_finds_categories_in_sets_and_all_others_outside():
    model = lgb(cats=1, kinds="1", thresholds="0", more="cat_boundaries=0 2\ncat_threshold=5 2\n")
    rows = column(0, 1, 2, 2.9, 33, 34, -0.5, -1, 1e9, math.nan)
    assert predictions(model, rows) == [[1.5, -1, 1.5, 1.5, 1.5, -1, 1.5, -1, -1, -1]] * 2


def test_categories_come_by_their_values_and_unknown_ones_are_missing():
    model = lgb(
        classes=2, values={0: ["Oslo", "Rome"]}, objective="binary sigmoid:2", cats=1, kinds="1", thresholds="0",
        more="cat_boundaries=0 1\ncat_threshold=2\n",
    )  # fmt: skip
    signature = Signature(
        kind="table",
        inputs=(TensorSpec(name="city", datatype="BYTES", shape=(-1,)), TensorSpec(name="n", datatype="FP64", shape=(-1,))),
        outputs=(TensorSpec(name="label", datatype="INT64", shape=(-1,)),
                 TensorSpec(name="probabilities", datatype="FP64", shape=(-1, 2))),
        batchable=True,
    )  # fmt: skip
    for proto, plan in conversions([model], signature, "test").graphs:
        made = session(proto)
        converted = ConvertedModel(lambda names, feeds, made=made: made.run(names, feeds), plan, signature)
        answer = converted.predict({"city": np.array(["Oslo", "Rome", "Bern", None, ""], object), "n": np.zeros(5)})
        assert answer["label"].tolist() == [0, 1, 0, 0, 0]
        high, low = 1 / (1 + math.exp(-3)), 1 / (1 + math.exp(2))
        np.testing.assert_allclose(answer["probabilities"][:, 1], [low, high, low, low, low], rtol=1e-6)


@pytest.mark.parametrize(
    ("objective", "link"),
    [("poisson", math.exp), ("cross_entropy_lambda", lambda x: math.log1p(math.exp(x))), ("huber", float),
     ("regression sqrt", lambda x: math.copysign(x * x, x)), ("cross_entropy", lambda x: 1 / (1 + math.exp(-x)))],
)  # fmt: skip
def test_the_link_of_the_objective_makes_the_answer(objective, link):
    for found in predictions(lgb(objective=objective), column(0, 1)):
        np.testing.assert_allclose(found, [link(1.5), link(-1.0)], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"), [({"objective": "magic"}, "magic is not known"), ({"linear": 1}, "leaves are linear")]
)
def test_what_is_not_understood_is_not_converted(changes, said):
    with pytest.raises(NotConvertible, match=said):
        lgb(**changes)


def xgb_file(objective="reg:squarederror", base="5E-1", **booster):
    tree = {
        "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [0, 0, 0],
        "split_conditions": [0.1, 1.5, -1.0], "default_left": [0, 0, 0],
        "tree_param": {"size_leaf_vector": "1"}, "categories": [], "categories_nodes": [],
        "categories_segments": [], "categories_sizes": [],
    }  # fmt: skip
    model = {"trees": [tree, tree], "tree_info": [0, 0], "iteration_indptr": [0, 1, 2], "gbtree_model_param": {}}
    return {
        "learner": {
            "learner_model_param": {"base_score": base, "num_class": "0", "num_feature": "2", "num_target": "1"},
            "objective": {"name": objective},
            "gradient_booster": {"name": "gbtree", "model": model, **booster},
        }
    }


def xgb(file, best=0, **more):
    return xgboost.read(file, best=best, values={}, classes=0, **more)


def singles(model, rows):
    (found,) = predictions(model, rows.astype(np.float32), datatype="FP32", dtype="FP32")
    return found


def test_xgboost_compares_below_in_32_bits_and_adds_its_base_score():
    rows = column(0.1, float(np.nextafter(np.float32(0.1), np.float32(0))), math.nan)
    assert singles(xgb(xgb_file()), rows) == [-1.5, 3.5, -1.5]
    assert singles(xgb(xgb_file(), best=1), rows) == [-0.5, 2.0, -0.5]
    assert singles(xgb(xgb_file(base="[2.5E-1]")), rows) == [-1.75, 3.25, -1.75]


def test_xgboost_scales_what_dart_dropped():
    trees = {"model": xgb_file()["learner"]["gradient_booster"]["model"]}
    dart = xgb_file(gbtree=trees, weight_drop=[0.5, 0.25])
    assert singles(xgb(dart), column(0, 1)) == [0.5 + 0.75 + 0.375, 0.5 - 0.5 - 0.25]


@pytest.mark.parametrize(
    ("objective", "base", "wanted"),
    [("count:poisson", "2E0", 2 * math.exp(3)), ("reg:logistic", "5E-1", 1 / (1 + math.exp(-3))),
     ("binary:logitraw", "5E-1", 3.5), ("rank:ndcg", "0E0", 3.0)],
)  # fmt: skip
def test_xgboost_has_its_base_score_as_an_answer(objective, base, wanted):
    np.testing.assert_allclose(singles(xgb(xgb_file(objective, base)), column(0)), [wanted], rtol=1e-6)


@pytest.mark.parametrize(
    ("file", "said"),
    [(xgb_file("my:own"), "my:own is not known"), (xgb_file("reg:logistic", "2E0"), "base score 2E0"),
     (xgb_file(base="[1,2,3]"), "base score"), (xgb_file(name="gblinear"), "linear booster")],
)  # fmt: skip
def test_what_xgboost_says_otherwise_is_not_converted(file, said):
    with pytest.raises(NotConvertible, match=said):
        xgb(file)


def cat_file(treatment="AsFalse", **changes):
    feature = {"feature_index": 0, "flat_feature_index": 1, "nan_value_treatment": treatment, "borders": [0.1, 0.5]}
    splits = [{"split_type": "FloatFeature", "float_feature_index": 0, "border": border} for border in (0.1, 0.5)]
    file = {
        "features_info": {"float_features": [feature]}, "scale_and_bias": [1.0, [10.0]],
        "oblivious_trees": [{"splits": splits, "leaf_values": [0.0, 1.0, 2.0, 3.0]}],
    }  # fmt: skip
    return file | changes


def catted(file, rows, *, classes=(), loss="RMSE", above=0.0, names=("prediction",)):
    model = catboost.read(file, classes, loss, above)
    return answers(model, rows.astype(np.float32), datatype="FP32", names=names)


@pytest.mark.parametrize(("treatment", "missing"), [("AsFalse", 10.0), ("AsIs", 10.0), ("AsTrue", 13.0)])
def test_catboost_counts_a_leaf_by_its_borders_the_first_of_them_the_lowest_bit(treatment, missing):
    rows = np.array([[9, 0.1], [9, 0.2], [9, 0.5], [9, 0.75], [9, math.nan]])
    for found in catted(cat_file(treatment), rows):
        assert found["prediction"].ravel().tolist() == [10, 11, 11, 13, missing]


def test_catboost_trees_of_any_shape_and_several_numbers_a_leaf():
    split = {"split_type": "FloatFeature", "float_feature_index": 0, "border": 0.5}
    tree = {"split": split, "left": {"value": [1.0, 0.0]}, "right": {"split": split | {"border": 2.0},
            "left": {"value": [0.0, 3.0]}, "right": {"value": [5.0, 4.0]}}}  # fmt: skip
    file = {"features_info": cat_file()["features_info"], "trees": [tree], "scale_and_bias": [2.0, [1.0, 0.0]]}
    (found,) = catted(file, np.array([[0, 0.0], [0, 1.0], [0, 3.0]]), loss="MultiRMSE")
    assert found["prediction"].tolist() == [[3, 0], [1, 6], [11, 8]]


def test_catboost_says_the_second_class_above_its_threshold():
    rows = np.array([[0, 0.0], [0, 0.2], [0, 9.0]])
    file = cat_file(scale_and_bias=[1.0, [-1.0]])
    for above, labels in ((0.0, [0, 0, 1]), (-0.5, [0, 1, 1])):
        for found in catted(file, rows, classes=(0, 1), loss="Logloss", above=above, names=("label", "probabilities")):
            assert found["label"].tolist() == labels
            assert found["probabilities"][:, 1] == pytest.approx([1 / (1 + math.e), 0.5, 1 / (1 + math.exp(-2))])


@pytest.mark.parametrize(
    ("file", "classes", "loss"),
    [(cat_file(), (), "RMSEWithUncertainty"), (cat_file(), ("a", "b", "c"), "MultiClass"),
     (cat_file(oblivious_trees=[{"splits": [{"split_type": "OnlineCtr"}], "leaf_values": [1, 2]}]), (), "RMSE")],
)  # fmt: skip
def test_what_catboost_answers_otherwise_is_not_converted(file, classes, loss):
    with pytest.raises(NotConvertible):
        catboost.read(file, classes, loss, 0.0)


def test_a_lone_leaf_is_a_tree():
    model = Boosted(forest=Forest(trees=[leaf(1.25), leaf(0.5)], double=True), members=Members(1), link="identity")
    assert predictions(model, np.zeros((2, 1))) == [[1.75, 1.75]] * 2
