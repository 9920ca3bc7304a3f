"""From a file to an answered request, as a person at the command line lives it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support import models
from tests.support.platform import Platform

PENGUIN = {
    "species": "Gentoo", "island": "Biscoe", "bill_length_mm": 49.6, "bill_depth_mm": 16.0,
    "flipper_length_mm": 225.0, "body_mass_g": 5700.0, "year": 2008,
}  # fmt: skip

WIDE = """
import numpy as np

class Wide:
    def predict(self, inputs):
        rows = inputs["input"] if isinstance(inputs, dict) else inputs
        return {"sum": np.sum(rows, axis=1)}
"""


@pytest.fixture(scope="module")
def penguins(platform: Platform, model_dir: Path):
    trained = models.penguins(model_dir)
    return trained, platform.deploy(trained.file, "penguins", sample=trained.sample)


def test_a_deploy_says_where_the_endpoint_is_and_how_to_call_it(platform: Platform, penguins) -> None:
    _, deployed = penguins
    assert deployed["endpoint"] == "penguins"
    assert deployed["version"] == 1
    assert deployed["revision"] == 1
    assert deployed["new_version"] is True
    assert deployed["url"] == f"{platform.http}/predict/penguins"
    assert {column["name"] for column in deployed["signature"]["inputs"]} == set(PENGUIN)
    assert set(deployed["timings"]) >= {"receive", "detect", "inspect", "pack", "start", "traffic", "total"}


def test_the_printed_curl_command_works(platform: Platform, penguins) -> None:
    _, deployed = penguins
    env = {**platform.env, "INFERRY_API_KEY": platform.key}
    answer = subprocess.run(
        ["bash", "-c", deployed["curl"]], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["predictions"][0]["label"] in {"female", "male"}


def test_the_printed_python_snippet_works(platform: Platform, penguins) -> None:
    _, deployed = penguins
    result = subprocess.run(
        [sys.executable, "-c", deployed["python"]],
        env=platform.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def test_a_long_example_is_fetched_by_what_is_printed_not_printed(platform: Platform, tmp_path: Path) -> None:
    sample = tmp_path / "wide.json"
    sample.write_text(json.dumps([[0.5] * 1000, [0.25] * 1000]))
    deployed = platform.deploy(models.python_file(tmp_path, "wide", WIDE), "long-example", sample=sample)
    assert len(deployed["curl"]) + len(deployed["python"]) < 1000
    for command in (["bash", "-c", deployed["curl"]], [sys.executable, "-c", deployed["python"]]):
        result = subprocess.run(command, env=platform.env, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, result.stderr
        assert "500" in result.stdout, "the sum of the first row"
    answer = platform.call("GET", "/endpoints/long-example/example")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == deployed["example"]


@pytest.mark.parametrize(
    "body",
    [
        PENGUIN,
        [PENGUIN],
        [list(PENGUIN.values())],
        {name: [value] for name, value in PENGUIN.items()},
        {"inputs": [PENGUIN]},
        {"inputs": {name: [value] for name, value in PENGUIN.items()}},
    ],
    ids=["one record", "records", "rows", "columns", "records under inputs", "columns under inputs"],
)
def test_every_form_that_people_type_gets_the_same_answer(platform: Platform, penguins, body) -> None:
    answer = platform.predict("penguins", body)
    assert (answer["model"], answer["version"]) == ("penguins", 1)
    (prediction,) = answer["predictions"]
    assert prediction["label"] == "male"
    assert sum(prediction["probabilities"].values()) == pytest.approx(1.0)


def test_held_out_rows_get_the_answers_of_the_model_in_this_process(platform: Platform, penguins) -> None:
    trained, _ = penguins
    answer = platform.predict("penguins", trained.rows.to_dict("records"))
    assert [row["label"] for row in answer["predictions"]] == list(trained.local())


def test_the_sdk_takes_a_frame_and_gives_the_same_answers(platform: Platform, penguins) -> None:
    trained, _ = penguins
    script = (
        "import inferry, pandas, sys\n"
        "answer = inferry.connect().endpoint('penguins').predict(pandas.read_json(sys.argv[1], orient='split'))\n"
        "print(*list(answer['label']), sep='\\n')\n"
    )
    file = platform.home.with_name("rows.json")
    trained.rows.to_json(file, orient="split")
    result = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        env=platform.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == list(trained.local())


def test_the_same_bytes_make_no_new_version(platform: Platform, penguins) -> None:
    trained, _ = penguins
    again = platform.deploy(trained.file, "penguins", sample=trained.sample)
    assert (again["version"], again["new_version"]) == (1, False)
    assert len(platform.cli("versions", "penguins")["versions"]) == 1


def test_the_next_version_takes_over_and_a_rollback_returns(platform: Platform, model_dir: Path) -> None:
    first, second = models.penguins(model_dir, version=1), models.penguins(model_dir, version=2)
    platform.deploy(first.file, "turns", sample=first.sample)
    assert platform.deploy(second.file, "turns", sample=second.sample)["version"] == 2
    assert platform.predict("turns", PENGUIN)["version"] == 2
    assert platform.cli("rollback", "turns")["version"] == 1
    assert platform.predict("turns", PENGUIN)["version"] == 1
    assert [version["number"] for version in platform.cli("versions", "turns")["versions"]] == [1, 2]


def test_a_new_version_runs_as_the_one_before_unless_told_otherwise(platform: Platform, tmp_path: Path) -> None:
    sample = models.column_sample(tmp_path, "x", [1, 2])
    platform.deploy(models.constant(tmp_path, 1), "wide", "--timeout", "7", sample=sample)
    platform.cli("scale", "wide", "2")
    platform.deploy(models.constant(tmp_path, 2), "wide", sample=sample)
    platform.deploy(models.constant(tmp_path, 3), "wide", "--timeout", "9", sample=sample)
    revisions = platform.cli("describe", "wide")["revisions"]
    assert [(one["config"].get("replicas", 1), one["config"].get("timeout_s")) for one in revisions] == [
        (1, 7.0), (2, 7.0), (2, 7.0), (2, 9.0),
    ]  # fmt: skip
    assert len(platform.replica_pids()) >= 2


def test_an_onnx_file_is_served_by_its_content_not_its_name(platform: Platform, model_dir: Path) -> None:
    odd = model_dir / "weights.bin"
    odd.write_bytes(models.iris_onnx(model_dir).read_bytes())
    platform.deploy(odd, "weights")
    answer = platform.predict("weights", models.IRIS_ROWS)
    assert [row["label"] for row in answer["predictions"]] == models.IRIS_KINDS
    assert platform.cli("versions", "weights")["versions"][0]["runtime"] == "onnx"


def test_a_function_in_a_file_is_a_model(platform: Platform) -> None:
    examples = Path(__file__).parents[2] / "examples"
    platform.deploy(examples / "iris_function.py", "flowers", sample=examples / "iris.csv")
    answer = platform.predict(
        "flowers", {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}
    )
    assert answer["predictions"][0]["species"] == "virginica"


@pytest.mark.slow
def test_two_endpoints_run_two_versions_of_one_library(platform: Platform, tmp_path: Path) -> None:
    sample = models.column_sample(tmp_path, "x", [1, 2])
    for version in ("1.16.0", "1.17.0"):
        name = f"six-{version.replace('.', '-')}"
        platform.deploy(models.with_requirements(tmp_path, "six", version), name, sample=sample, timeout=600)
        assert platform.predict(name, {"x": 1})["predictions"][0]["version"] == version
    assert platform.predict("six-1-16-0", {"x": 1})["predictions"][0]["version"] == "1.16.0"


def test_openapi_and_docs_page_come_from_the_signature(platform: Platform, penguins) -> None:
    document = platform.call("GET", "/endpoints/penguins/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert "/predict/penguins" in document["paths"]
    assert "flipper_length_mm" in json.dumps(document)
    page = platform.call("GET", "/endpoints/penguins/docs", key="")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


def test_commands_answer_one_json_document(platform: Platform, penguins) -> None:
    assert "penguins" in [model["name"] for model in platform.cli("models")["models"]]
    assert "penguins" in [endpoint["name"] for endpoint in platform.cli("endpoints")["endpoints"]]
    assert platform.cli("describe", "penguins")["traffic"] == {"1": 100}
    assert platform.cli("predict", "penguins", "-d", json.dumps(PENGUIN))["predictions"][0]["label"] == "male"
    assert platform.cli("doctor")["ok"] is True
    assert isinstance(platform.cli("logs", "penguins")["lines"], list)


def test_both_doors_want_a_key(platform: Platform, penguins) -> None:
    for control, path in ((False, "/v2/models/penguins"), (True, "/v1/models")):
        for key in ("", "inf_nobody_0000"):
            answer = platform.call("GET", path, key=key, control=control)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert platform.call("POST", "/predict/penguins", key="", json=PENGUIN).status_code == 401


def test_an_invoker_key_may_predict_and_nothing_else(platform: Platform, penguins) -> None:
    made = platform.cli("keys", "create", "app", "--role", "invoker")
    assert platform.call("POST", "/predict/penguins", key=made["key"], json=PENGUIN).status_code == 200
    assert platform.call("GET", "/v1/models", key=made["key"], control=True).status_code == 403
    platform.cli("keys", "revoke", "app")
    assert platform.call("POST", "/predict/penguins", key=made["key"], json=PENGUIN).status_code == 401


def test_a_connection_that_sends_the_same_head_again_is_refused_once_its_key_is_revoked(
    platform: Platform, penguins
) -> None:
    made = platform.cli("keys", "create", "kept", "--role", "invoker")
    headers = {"authorization": f"Bearer {made['key']}"}
    with httpx.Client(base_url=platform.http, headers=headers) as client:
        for _ in range(3):
            assert client.post("/predict/penguins", json=PENGUIN).status_code == 200
        platform.cli("keys", "revoke", "kept")
        assert client.post("/predict/penguins", json=PENGUIN).status_code == 401


def test_everything_in_the_home_is_private(platform: Platform, penguins) -> None:
    open_to_others = [
        path
        for path in [platform.home, *platform.home.rglob("*")]
        if not path.is_symlink() and not {"envs", "cache"} & set(path.parts)
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_to_others == []


def test_a_deleted_endpoint_is_gone_and_its_model_stays(platform: Platform, model_dir: Path) -> None:
    platform.deploy(models.iris_onnx(model_dir), "short-lived")
    platform.cli("delete", "short-lived", "--yes")
    assert platform.call("POST", "/predict/short-lived", json=models.IRIS_ROWS).status_code == 404
    assert "short-lived" in [model["name"] for model in platform.cli("models")["models"]]


def test_a_stopped_platform_comes_back_with_everything(start_platform, model_dir: Path) -> None:
    platform = start_platform()
    platform.deploy(models.iris_onnx(model_dir), "iris")
    assert platform.stop() == 0
    assert not platform.processes()
    platform.start()
    assert platform.predict("iris", models.IRIS_ROWS)["version"] == 1


@pytest.mark.both_databases
def test_a_killed_platform_comes_back_with_everything(start_platform, model_dir: Path) -> None:
    platform = start_platform()
    platform.deploy(models.iris_onnx(model_dir), "iris")
    platform.kill9()
    platform.start()
    assert platform.predict("iris", models.IRIS_ROWS)["version"] == 1
    assert platform.cli("doctor")["ok"] is True
