"""XGBoost, LightGBM and CatBoost estimators: taught to skl2onnx, or converted by their own exporter.

Data flow: the parts of a fitted estimator -> for each that is not scikit-learn's: its converter from
onnxmltools, registered. A CatBoost model that stands alone goes through CatBoost's own.
"""

from __future__ import annotations

from typing import Any

from inferry.runtimes.converters import Conversions, NotConvertible
from inferry.runtimes.converters.graphs import settle, unzip
from inferry.runtimes.estimators import nested
from inferry.types.conversion import Feed, Plan
from inferry.types.signature import Signature

_ZIPMAP = {"nocl": [True, False], "zipmap": [True, False, "columns"]}


def register(loaded: Any) -> None:
    """Make skl2onnx know what is inside."""
    packages = {type(part).__module__.partition(".")[0] for part in nested(loaded)}
    if "xgboost" in packages:
        _register_xgboost()
    if "lightgbm" in packages:
        _register_lightgbm()


def _register_xgboost() -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes
    from xgboost import XGBClassifier, XGBRegressor

    update_registered_converter(
        XGBClassifier, "XGBoostXGBClassifier", shapes.calculate_linear_classifier_output_shapes, convert_xgboost,
        options=_ZIPMAP,
    )  # fmt: skip
    update_registered_converter(
        XGBRegressor, "XGBoostXGBRegressor", shapes.calculate_linear_regressor_output_shapes, convert_xgboost
    )


def _register_lightgbm() -> None:
    from lightgbm import LGBMClassifier, LGBMRegressor
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes

    update_registered_converter(
        LGBMClassifier, "LightGbmLGBMClassifier", shapes.calculate_linear_classifier_output_shapes, convert_lightgbm,
        options=_ZIPMAP,
    )  # fmt: skip
    update_registered_converter(
        LGBMRegressor, "LightGbmLGBMRegressor", shapes.calculate_linear_regressor_output_shapes, convert_lightgbm,
        options={"split": None},
    )  # fmt: skip


def alone(loaded: Any, signature: Signature) -> Conversions | None:
    """A CatBoost model by its own exporter; None for every other estimator."""
    if not type(loaded).__module__.startswith("catboost"):
        return None
    import catboost
    from catboost.utils import convert_to_onnx_object

    if loaded.get_cat_feature_indices() or any(spec.datatype == "BYTES" for spec in signature.inputs):
        raise NotConvertible("CatBoost's exporter takes no categorical features")
    proto = unzip(convert_to_onnx_object(loaded))
    graph = proto.graph
    names = [node.name for node in graph.output]
    answers = dict(zip((spec.name for spec in signature.outputs), names, strict=False))
    columns = tuple(spec.name for spec in signature.inputs)
    feed = Feed(name=graph.input[0].name, columns=columns, dtype="float32")
    plan = Plan(feeds=(feed,), answers=answers)
    return Conversions(graphs=[(settle(proto, names), plan)], converter=f"catboost {catboost.__version__}")
