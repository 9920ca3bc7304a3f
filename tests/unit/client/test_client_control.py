"""Every call of the control API, typed."""

from __future__ import annotations

import pytest

from inferry.errors import Conflict, InvalidModel, InvalidName, NotFound, Unavailable
from tests.support.fake_platform import Canned


def test_deploy_sends_the_files_and_follows_the_steps(fake, client, tmp_path):
    model, sample = tmp_path / "My Model.joblib", tmp_path / "rows.csv"
    model.write_bytes(b"weights")
    sample.write_text("a,b\n1,2\n")
    steps = []
    made = client.deploy(model, sample=sample, replicas=2, timeout_s=5, on_event=steps.append)
    assert (made.endpoint, made.version, made.revision, made.new_version) == ("my-model", 3, 2, True)
    assert made.signature.kind == "table"
    assert made.timings["total"] == 345.6
    assert [(step.step, step.state) for step in steps] == [
        ("receive", "started"), ("receive", "done"), ("detect", "started"), ("detect", "done"),
        ("inspect", "started"), ("inspect", "done"),
    ]  # fmt: skip
    upload = fake.requests[0]
    assert upload.path == "/v1/endpoints/my-model/deploy"
    assert upload.query == {"filename": "My Model.joblib", "sample": "rows.csv", "replicas": "2", "timeout_s": "5"}
    assert upload.headers["content-type"] == "application/x-tar"
    assert fake.uploaded == {"artifact/My Model.joblib": b"weights", "sample/rows.csv": b"a,b\n1,2\n"}


def test_deploy_sends_a_folder_by_its_name(fake, client, tmp_path):
    folder = tmp_path / "churn_model"
    (folder / "src").mkdir(parents=True)
    (folder / "model.py").write_text("x = 1")
    (folder / "src" / "a.py").write_text("y = 2")
    client.deploy(folder, "churn", memory_mb=512)
    assert fake.requests[0].query == {"filename": "churn_model", "memory_mb": "512"}
    assert sorted(fake.uploaded) == ["artifact/model.py", "artifact/src/a.py"]


def test_deploy_raises_the_error_of_the_step_that_failed(fake, client, tmp_path):
    fake.deploy_error = {"code": "invalid_model", "message": "This is no model.", "help": "Give an ONNX file."}
    (tmp_path / "a.onnx").write_bytes(b"?")
    with pytest.raises(InvalidModel, match="This is no model") as caught:
        client.deploy(tmp_path / "a.onnx")
    assert caught.value.help == "Give an ONNX file."


def test_deploy_waits_for_a_control_process_that_restarts(fake, client, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"?")
    accepted, gone = Canned(202, {"operation": "op-a"}), Canned(503)
    fake.next_answers = [accepted, gone]
    assert client.deploy(tmp_path / "a.onnx").endpoint == "a"
    fake.next_answers = [accepted, gone, Canned(404, {"error": {"code": "not_found", "message": "No operation."}})]
    with pytest.raises(Unavailable, match="restarted during this deploy"):
        client.deploy(tmp_path / "a.onnx")


def test_deploy_checks_the_name_before_sending(fake, client, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"?")
    with pytest.raises(InvalidName):
        client.deploy(tmp_path / "a.onnx", "No Good")
    assert fake.requests == []


def test_lists_and_details(fake, client):
    assert client.info().http == fake.http
    assert [(m.name, m.versions, m.latest) for m in client.models()] == [("fraud", 2, 3)]
    assert [(v.number, v.serving) for v in client.versions("fraud")] == [(1, ()), (3, ("fraud",))]
    assert client.version("fraud", 3).manifest["runtime"] == "onnx"
    (endpoint,) = client.endpoints()
    assert (endpoint.state, endpoint.replicas.ready) == ("ready", 1)
    details = client.describe("fraud")
    assert details.traffic == {2: 100}
    assert [r.replaces for r in details.revisions] == [0, 1]
    assert details.signature.outputs[1].labels == ("no", "yes")
    assert client.logs("fraud", lines=1) == ["line two"]
    assert client.doctor().checks[0].name == "storage"


def test_changes(fake, client):
    assert client.rollback("fraud").revision == 1
    assert client.rollback("fraud", 7).revision == 7
    assert client.scale("fraud", 4).revision == 3
    assert fake.requests[-1].json == {"replicas": 4}
    client.delete("fraud")
    client.delete_version("fraud", 1)
    client.delete_model("fraud")
    assert fake.paths()[-3:] == [
        "DELETE /v1/endpoints/fraud", "DELETE /v1/models/fraud/versions/1", "DELETE /v1/models/fraud",
    ]  # fmt: skip
    with pytest.raises(Conflict, match="is used"):
        client.delete_version("fraud", 3)
    with pytest.raises(NotFound):
        client.describe("nobody")


def test_keys(fake, client):
    made = client.create_key("shop", endpoints=["fraud"], expires_s=60)
    assert made.key == "inf_k2_shown-once"
    assert "shown-once" not in repr(made)
    assert fake.requests[-1].json == {"name": "shop", "role": "invoker", "endpoints": ["fraud"], "expires_s": 60}
    (key,) = client.keys()
    assert (key.name, key.role) == ("ci", "admin")
    client.revoke_key("ci")
    assert fake.paths()[-1] == "DELETE /v1/keys/ci"
