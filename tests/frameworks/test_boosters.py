"""Gradient boosters from their own files: deployed with no code, answering as their scikit-learn wrappers do,
natively and as ONNX."""

from __future__ import annotations

import pytest

from inferry.environments.lean import has_nvidia_driver
from tests.support.forge import served

CONVERTED = [
    "xgboost_early",
    "xgboost_digits",
    "xgboost_softmax",
    "xgboost_categories",
    "xgboost_dart",
    "lightgbm_categories",
    "lightgbm_digits",
    "lightgbm_ranker",
    "lightgbm_zeros",
    "catboost_matrix",
    "catboost_names",
    "catboost_poisson",
]
NATIVE = {
    "xgboost_linear": "it is a linear booster, not trees",
    "catboost_categories": "CatBoost keeps only hashes of categories and words, which ONNX cannot compute",
}


@pytest.mark.parametrize("name", [*CONVERTED, *NATIVE])
def test_a_file_answers_as_the_librarys_own_wrapper(platform, forge, name):
    forged = forge.make(name)
    endpoint = f"{name.replace('_', '-')}-native"
    deployed = platform.deploy(forged.artifact, endpoint, "--native")
    assert deployed["runtime"] == name.partition("_")[0]
    assert deployed["signature"]["batchable"]
    served(platform, endpoint, forged)


@pytest.mark.parametrize("name", CONVERTED)
def test_a_file_serves_as_onnx_with_the_same_answers(platform, forge, name):
    forged = forge.make(name)
    endpoint, library = name.replace("_", "-"), name.partition("_")[0]
    deployed = platform.deploy(forged.artifact, endpoint, "--convert=require")
    made = deployed["conversion"]
    assert (deployed["runtime"], made["serves"], made["runtime"]) == ("onnx", "onnx", library)
    assert made["rows"] > 200
    assert made["largest"] <= 5e-4  # the last place of a 32-bit number of some thousands
    assert made["converter"].lower().startswith(f"inferry, from {library} ")
    assert deployed["signature"]["batchable"]
    served(platform, endpoint, forged)


@pytest.mark.parametrize("name", NATIVE)
def test_a_file_that_cannot_be_converted_serves_natively_and_says_why(platform, forge, name):
    deployed = platform.deploy(forge.make(name).artifact, name.replace("_", "-"))
    assert deployed["runtime"] == name.partition("_")[0]
    assert f"Served natively, not as ONNX: {NATIVE[name]}." in deployed["notes"]


@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
def test_a_pickled_wrapper_answers_as_itself(platform, forge, library):
    forged = forge.make(f"wrapper_{library}")
    deployed = platform.deploy(forged.artifact, f"wrapper-{library}", "--native", sample=forged.sample)
    assert deployed["runtime"] == "sklearn"
    served(platform, f"wrapper-{library}", forged)


@pytest.mark.skipif(has_nvidia_driver(), reason="this host has NVIDIA's driver")
def test_a_host_without_a_gpu_installs_no_gpu_library_for_xgboost(platform, forge):
    platform.deploy(forge.make("xgboost_early").artifact, "lean", "--native")
    bundle = (
        platform.home / "bundles" / platform.call("GET", "/v1/models/lean/versions/1", control=True).json()["bundle"]
    )
    lock = (bundle / "environment" / "lock.txt").read_text()
    assert "\nxgboost==" in lock
    assert "nvidia" not in lock


def test_values_are_taken_as_the_file_knows_them(platform, forge):
    platform.deploy(forge.make("xgboost_categories").artifact, "known")
    row = {"city": "Lima", "member": True, "visits": 3, "spent": None}
    assert len(platform.predict("known", [row, row | {"city": None}])["predictions"]) == 2
    answer = platform.call("POST", "/predict/known", json=row | {"city": "Paris"})
    assert answer.status_code == 400
    assert "'Paris' is not a known category." in answer.json()["error"]["message"]


def test_an_environment_goes_with_the_last_version_that_needs_it(start_platform, forge):
    own = start_platform()
    own.deploy(forge.make("lightgbm_ranker").artifact, "one", "--native")
    own.deploy(forge.make("lightgbm_digits").artifact, "two", "--native")
    environments = own.home / "envs"
    (made,) = [path.parent for path in environments.glob("*/lock.txt")]
    for endpoint in ("one", "two"):
        assert made.exists()
        own.cli("delete", endpoint)
        own.cli("delete", endpoint, "--model")
    assert not made.exists()
    own.deploy(forge.make("lightgbm_ranker").artifact, "one", "--native")
    assert made.exists()
