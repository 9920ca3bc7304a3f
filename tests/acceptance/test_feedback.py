"""Feedback on a real platform: what turned out to be true meets its prediction, and says how right a version was."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http
from tritonclient.utils import np_to_triton_dtype

from inferry.client import connect
from tests.support import models

pytestmark = pytest.mark.both_databases


@pytest.fixture(scope="module")
def iris(platform, model_dir):
    platform.deploy(models.iris_onnx(model_dir), "labels")
    return "labels"


def give(platform, body, *, query="", **options):
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return platform.call("POST", f"/feedback{query}", content=content, **options)


def named(platform, endpoint, id, row):
    return platform.predict(endpoint, [row], headers={"inferry-request-id": id})


def figures(platform, endpoint):
    (version,) = platform.cli("quality", endpoint)["versions"]
    return version, {metric["name"]: metric for metric in version["metrics"]}


def test_truth_meets_its_prediction_and_counts_once(platform, iris) -> None:
    ids = [f"flower-{n}" for n in range(2)]
    for id, row in zip(ids, models.IRIS_ROWS, strict=True):
        named(platform, iris, id, row)
    answer = give(platform, [{"request_id": ids[0], "truth": 0}, {"request_id": ids[1], "truth": 1}])
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert [item["status"] for item in said["items"]] == ["matched", "matched"]
    assert {item["endpoint"] for item in said["items"]} == {iris}
    version, by_name = figures(platform, iris)
    assert (version["task"], version["joined"]) == ("classes", 2)
    assert (by_name["accuracy"]["value"], by_name["accuracy"]["count"]) == (0.5, 2)
    assert {"f1", "auc", "log_loss", "brier"} <= set(by_name)
    again = give(platform, {"request_id": ids[0], "truth": 0}).json()
    assert again["items"][0]["status"] == "repeated"
    changed = give(platform, {"request_id": ids[1], "truth": 2}).json()["items"][0]
    assert (changed["status"], changed["before"]) == ("replaced", 1)
    assert figures(platform, iris)[1]["accuracy"]["value"] == 1.0
    metrics = platform.call("GET", "/metrics", control=True).text
    assert f'inferry_quality{{endpoint="{iris}",version="1",metric="accuracy"}} 1' in metrics


def test_an_answer_says_its_id_and_lines_and_lists_and_late_truths_are_read(platform, iris) -> None:
    first = platform.call("POST", f"/predict/{iris}", json=models.IRIS_ROWS)
    id = first.headers["inferry-request-id"]
    lines = f'{{"request_id": "{id}", "truth": [0, null], "at": {time.time() + 3 * 86400}}}\n{{"request_id": "no", "truth": 1}}\n'
    said = give(platform, lines, headers={"content-type": "application/x-ndjson"}).json()
    assert [item["status"] for item in said["items"]] == ["matched", "refused"]
    assert said["items"][0]["late_s"] > 2 * 86400
    assert "Name its endpoint" in said["items"][1]["error"]
    wrong = give(platform, {"request_id": id, "truth": 1}).json()["items"][0]
    assert (
        wrong["error"] == "The request had 2 rows, and this is the truth of 1. Give a list with one for each, or null."
    )


def test_truth_that_comes_first_waits_for_its_prediction(platform, iris) -> None:
    before = sum(version["joined"] for version in platform.cli("quality", iris)["versions"])
    early = give(platform, {"request_id": "early", "truth": 0, "endpoint": iris}).json()["items"][0]
    assert early["status"] == "waiting"
    named(platform, iris, "early", models.IRIS_ROWS[0])
    end = time.monotonic() + 10
    while figures(platform, iris)[0]["joined"] == before:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_every_door_is_read(platform, iris) -> None:
    before = sum(version["joined"] for version in platform.cli("quality", iris)["versions"])
    array = np.array(models.IRIS_ROWS[:1], np.float32)
    client = tritonclient.http.InferenceServerClient(platform.http.removeprefix("http://"))
    key = {"authorization": f"Bearer {platform.key}"}
    name = platform.cli("describe", iris)["signature"]["inputs"][0]["name"]
    for binary in (True, False):
        tensor = tritonclient.http.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, binary_data=binary)
        client.infer(iris, [tensor], headers=key | {"inferry-request-id": f"oip-{binary}"})
    client.close()
    rows = array.tolist()
    for id, path, body in (
        ("tfs", f"/v1/models/{iris}:predict", {"instances": rows}),
        ("tfs-columns", f"/v1/models/{iris}:predict", {"inputs": rows}),
        ("mlflow", f"/endpoints/{iris}/invocations", {"inputs": rows}),
    ):
        assert platform.call("POST", path, json=body, headers={"inferry-request-id": id}).status_code == 200
    ids = ["oip-True", "oip-False", "tfs", "tfs-columns", "mlflow"]
    said = give(platform, [{"request_id": id, "truth": 0} for id in ids]).json()
    assert [item["status"] for item in said["items"]] == ["matched"] * 5, said
    version, by_name = figures(platform, iris)
    assert version["joined"] == before + 5
    assert by_name["accuracy"]["value"] == 1.0


def test_the_command_and_the_sdk(platform, iris, tmp_path) -> None:
    with connect(platform.control, platform.key) as client:
        answer = client.endpoint(iris).ask(models.IRIS_ROWS[:1])
        assert client.feedback({"request_id": answer.request_id, "truth": 0}).matched == 1
        client.endpoint(iris).predict(np.array(models.IRIS_ROWS[:1], np.float32), request_id="sdk-array")
        (told,) = client.feedback([{"request_id": "sdk-array", "truth": 0, "values": {"profit": 2.5}}]).items
        assert told.status == "matched"
        names = [metric.name for metric in client.quality(iris).versions[0].metrics]
        assert names[-1] == "profit"
    named(platform, iris, "cell", models.IRIS_ROWS[1])
    (tmp_path / "truth.csv").write_text("request_id,truth,profit\ncell,2,1.5\nnobody,1,\n")
    said = platform.cli("feedback", iris, "-d", f"@{tmp_path / 'truth.csv'}")
    assert (said["matched"], said["waiting"]) == (1, 1)
    shown = platform.run("quality", iris)
    assert "accuracy" in shown.stdout
    bad = platform.run("feedback", iris, "-d", '{"request_id": "cell"}')
    assert bad.returncode == 1
    assert "Neither truth nor values" in bad.stderr
    assert platform.run("quality", iris, "--since", "soon").returncode == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "not JSON"),
        ("[]", "no feedback"),
        ("{nope", "not JSON"),
        ('{"request_id": "a", "truth": 1}\n{nope', "Line 2"),
    ],
)
def test_a_body_that_says_nothing_is_refused(platform, body, words) -> None:
    answer = give(platform, body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"truth": 1}, "request_id"),
        ({"request_id": "", "truth": 1}, "request_id"),
        ({"request_id": "x" * 129, "truth": 1}, "request_id"),
        ({"request_id": "a", "truht": 1}, "truht"),
        ({"request_id": "a", "truth": {"b": 1}}, "truth"),
        ({"request_id": "a", "truth": "y" * 600}, "500 characters"),
        ({"request_id": "a", "values": {"": 1}}, "names of 1 to 63"),
        (7, "object"),
    ],
)
def test_an_item_that_says_nothing_is_refused_and_the_others_are_kept(platform, iris, item, words) -> None:
    said = give(platform, [item, {"request_id": "waits", "truth": 1, "endpoint": iris}]).json()
    assert said["items"][0]["status"] == "refused"
    assert words in said["items"][0]["error"]
    assert said["items"][1]["status"] in ("waiting", "repeated")


def test_a_key_speaks_only_of_its_own_endpoints(platform, iris, tmp_path) -> None:
    platform.deploy(models.constant(tmp_path, 5), "others", sample=models.column_sample(tmp_path, "x", [1, 2]))
    key = platform.cli("keys", "create", "only-others", "--endpoint", "others")["key"]
    viewer = platform.cli("keys", "create", "looks-on", "--role", "viewer")["key"]
    named(platform, iris, "private", models.IRIS_ROWS[0])
    assert give(platform, {"request_id": "private", "truth": 0}, key=viewer).status_code == 403
    assert give(platform, {"request_id": "private", "truth": 0}, key="").status_code == 401
    (item,) = give(platform, {"request_id": "private", "truth": 0}, key=key).json()["items"]
    assert (item["status"], item["endpoint"]) == ("waiting", "others")
    (item,) = give(platform, {"request_id": "private", "truth": 0, "endpoint": iris}, key=key).json()["items"]
    assert (item["status"], item["error"]) == ("refused", "This key may not give feedback for this endpoint.")


def test_numbers_have_errors(platform, tmp_path) -> None:
    file = models.python_file(
        tmp_path, "half", "class Half:\n    def predict(self, inputs):\n        return {'price': [x / 2 for x in inputs['x']]}\n"
    )  # fmt: skip
    platform.deploy(file, "prices", sample=models.column_sample(tmp_path, "x", [1, 2]))
    for number in range(10):
        platform.predict("prices", {"x": number}, headers={"inferry-request-id": f"price-{number}"})
    truths = [
        {"request_id": f"price-{number}", "truth": number / 2 + (0.5 if number % 2 else -0.5)} for number in range(10)
    ]
    assert give(platform, truths).json()["matched"] == 10
    version, by_name = figures(platform, "prices")
    assert version["task"] == "numbers"
    assert by_name["mae"]["value"] == pytest.approx(0.5)
    assert by_name["rmse"]["value"] == pytest.approx(0.5)
    assert by_name["r2"]["value"] == pytest.approx(1 - 2.5 / sum((t["truth"] - 2.25) ** 2 for t in truths))


def test_only_the_asked_share_is_kept(platform, tmp_path) -> None:
    platform.deploy(models.constant(tmp_path, 1), "sampled", sample=models.column_sample(tmp_path, "x", [1, 2]))
    assert platform.cli("traffic", "sampled")["sampling"] == {"percent": 100.0, "most_per_s": 100, "inputs": 0.0}
    platform.cli("traffic", "sampled", "--keep", "0")
    platform.predict("sampled", {"x": 1}, headers={"inferry-request-id": "dropped"})
    time.sleep(1.2)  # what was allowed is looked at anew each second
    platform.cli("traffic", "sampled", "--keep", "100", "--keep-most", "2")
    time.sleep(1.2)
    for number in range(5):
        platform.predict("sampled", {"x": 1}, headers={"inferry-request-id": f"kept-{number}"})
    ids = ["dropped", *(f"kept-{number}" for number in range(5))]
    said = give(platform, [{"request_id": id, "truth": 1, "endpoint": "sampled"} for id in ids]).json()
    statuses = [item["status"] for item in said["items"]]
    assert statuses[:3] == ["waiting", "matched", "matched"]
    assert 2 <= statuses.count("matched") <= 4
    refused = platform.run("traffic", "sampled", "--keep-most", "5000")
    assert refused.returncode == 1
    assert "cannot be kept" in refused.stderr


def test_predictions_go_on_without_control_and_their_answers_are_kept(start_platform, model_dir: Path) -> None:
    platform = start_platform()
    platform.deploy(models.iris_onnx(model_dir), "survives")
    pid = platform.control_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        for number in range(20):
            named(platform, "survives", f"alone-{number}", models.IRIS_ROWS[0])
    finally:
        os.kill(pid, signal.SIGKILL)
    body = [{"request_id": f"alone-{number}", "truth": 0} for number in range(20)]
    answers = [give(platform, body)]
    end = time.monotonic() + 30
    while answers[-1].status_code != 200:
        assert (answers[-1].status_code, answers[-1].headers["retry-after"]) == (503, "1")
        assert time.monotonic() < end
        time.sleep(0.1)
        answers.append(give(platform, body))
    assert answers[-1].json()["matched"] == 20
    version, by_name = figures(platform, "survives")
    assert (version["captured"], by_name["accuracy"]["value"]) == (20, 1.0)
    assert "inferry_captures_dropped_total 0" in platform.call("GET", "/metrics").text
