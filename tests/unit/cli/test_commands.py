"""Every command: what people read, the one JSON document, and the exit code."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.fake_platform import Canned

ENDPOINT = {"name", "model", "version", "revision", "replicas", "state", "problem", "url", "updated"}
DETAILS = {
    "signature",
    "example",
    "traffic",
    "revisions",
    "curl",
    "python",
    "runtime",
    "conversion",
    "last_end",
    "fell_back",
    "deaths",
}
VERSION = {"model", "number", "bundle", "runtime", "size", "created", "created_by", "serving", "aliases", "protected", "test",
           "lineage"}  # fmt: skip


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    return str(path)


# -- deploy


def test_deploy_prints_what_one_wants_to_copy(fake, inferry, model, tmp_path):
    sample = tmp_path / "rows.csv"
    sample.write_text("a\n1\n")
    done = inferry(
        "deploy",
        model,
        "--name",
        "fraud",
        "--sample",
        str(sample),
        "--replicas",
        "2",
        "--timeout",
        "5",
        "--memory",
        "512",
    )
    assert done.code == 0
    for text in (
        "fraud:3 serves at http://", "takes   age  FP64 [any]  may be missing",
        "takes   job  BYTES [any]  one of clerk, smith  may be missing",
        "gives   probabilities  FP64 [any, 2]  for no, yes",
        "note: Served by onnxruntime.", "curl -d ... URL", "import inferry", "total", "346",
    ):  # fmt: skip
        assert text in done.out
    assert done.err.splitlines() == [f"     12 ms  {step:<12} {step}..." for step in ("receive", "detect", "inspect")]
    query = fake.requests[0].query
    assert query == {
        "filename": "model.onnx", "sample": "rows.csv", "replicas": "2", "timeout_s": "5.0", "memory_mb": "512",
    }  # fmt: skip
    assert set(fake.uploaded) == {"artifact/model.onnx", "sample/rows.csv"}


def test_deploy_shows_its_steps_live_on_a_terminal(start, model):
    ours, terminal = os.openpty()
    process = start("deploy", model, "--json", stderr=terminal)
    os.close(terminal)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # how a terminal ends
        pass
    os.close(ours)
    out = process.stdout.read()
    process.stdout.close()
    assert process.wait(10) == 0
    assert json.loads(out)["version"] == 3
    for step in ("receive", "detect", "inspect"):
        assert step.encode() in seen
    assert "✓".encode() in seen


def test_deploy_json_is_one_document(inferry, model):
    done = inferry("deploy", model, "--json")
    assert done.code == 0
    made = done.json
    assert (made["endpoint"], made["version"], made["revision"]) == ("model", 3, 2)
    assert made["url"].endswith("/predict/model")
    assert made["signature"]["inputs"][0] == {"name": "age", "datatype": "FP64", "shape": [-1], "nullable": True}
    assert made["timings"] == {"receive": 1.2, "total": 345.6}


def test_deploy_of_the_same_bytes_says_so(fake, inferry, model):
    fake.deploy_unchanged = True
    assert "serves already" in inferry("deploy", model).out


def test_deploy_says_what_failed(fake, inferry, model):
    fake.deploy_error = {"code": "invalid_model", "message": "This is no model.", "help": "Give an ONNX file."}
    done = inferry("deploy", model)
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("error: This is no model.\nhelp: Give an ONNX file.\n")
    done = inferry("deploy", model, "--json")
    assert done.code == 1
    assert done.json == {
        "error": {"code": "invalid_model", "message": "This is no model.", "help": "Give an ONNX file."}
    }


def test_deploy_of_nothing_is_refused(inferry):
    done = inferry("deploy", "/nowhere/model.onnx")
    assert done.code == 1
    assert "There is no file or folder '/nowhere/model.onnx'" in done.err


# -- predict


def test_predict_uses_the_endpoints_own_example(fake, inferry):
    done = inferry("predict", "fraud")
    assert (done.code, done.out) == (0, '{"label":"yes","probabilities":{"no":0.25,"yes":0.75}}\n')
    assert fake.requests[-1].json == [{"age": 41.0, "job": "clerk"}]


def test_predict_json_is_the_whole_answer(inferry):
    done = inferry("predict", "double", "-d", "[[1, 2, 3, 4]]", "--json")
    assert done.json == {"model": "double", "version": 3, "predictions": [{"y": [2, 4, 6, 8]}], "request_id": "r-1"}


@pytest.mark.parametrize("name", ["rows.json", "rows.txt"])
def test_predict_reads_a_file(fake, inferry, tmp_path, name):
    (tmp_path / name).write_text('{"age": 1, "job": "smith"}')
    assert inferry("predict", "fraud", "-d", f"@{tmp_path / name}").code == 0
    assert fake.requests[-1].json == {"age": 1, "job": "smith"}


def test_predict_reads_standard_input(fake, start):
    process = start("predict", "echo", "-d", "-", stdin=-1)
    out, _ = process.communicate('{"a": 1}')
    assert (process.returncode, out) == (0, '{"a":1}\n')


def test_predict_reads_a_table_by_the_signature(fake, inferry, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("job,age,target\nclerk,41,yes\n,2.5,no\n007,,no\nsmith,old,no\n\n")
    assert inferry("predict", "fraud", "-d", f"@{path}").code == 0
    assert fake.requests[-1].json == [
        {"job": "clerk", "age": 41}, {"job": None, "age": 2.5}, {"job": "007", "age": None},
        {"job": "smith", "age": "old"},
    ]  # fmt: skip


@pytest.mark.parametrize("header", ["a,b,c,d\n", ""])
def test_predict_reads_numbers_with_and_without_a_header(fake, inferry, tmp_path, header):
    path = tmp_path / "rows.csv"
    path.write_text(header + "1,2,3,4.5\n")
    assert inferry("predict", "double", "-d", f"@{path}").out == '{"y":[2,4,6,9.0]}\n'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{not json", "The data is not JSON"),
        ("@/nowhere.json", "cannot be read: No such file"),
        ("@.", "cannot be read: Is a directory"),
    ],
)
def test_predict_refuses_what_it_cannot_read(inferry, data, said):
    done = inferry("predict", "echo", "-d", data)
    assert done.code == 1
    assert said in done.err
    assert "help: " in done.err


def test_predict_refuses_a_ragged_table(inferry, tmp_path):
    (tmp_path / "rows.csv").write_text("age,job\n1\n")
    assert "Line 2 has 1 values, the header has 2" in inferry("predict", "fraud", "-d", f"@{tmp_path / 'rows.csv'}").err
    (tmp_path / "rows.csv").write_text("")
    assert "no rows" in inferry("predict", "fraud", "-d", f"@{tmp_path / 'rows.csv'}").err


# -- the others: arguments, text that people see, the document


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["models"], ["model", "fraud", "2", "3"]),
        (["versions", "fraud"], ["fraud:3", "onnx", "2.5 MB", "cdcdcdcdcdcd", "fraud"]),
        (["endpoints"], ["fraud", "fraud:3", "1/1", "ready", "/predict/fraud"]),
        (["describe", "fraud"], ["1 of 1 replicas ready", "100% revision 2"]),
        (["describe", "fraud"], ["takes   age", "30 s", "curl http://", "import inferry"]),
        (["describe", "fraud:3"], ["fraud:3", "artifact/model.onnx", "2.5 MB", "platform"]),
        (["rollback", "fraud"], ["fraud serves version 1 again (revision 1, was 2)"]),
        (["scale", "fraud", "4"], ["fraud runs with 4 replicas (revision 3)"]),
        (["logs", "fraud"], ["line one\nline two\n"]),
        (["logs", "fraud", "-n", "1"], ["line two"]),
        (["delete", "fraud"], ["The endpoint fraud is removed."]),
        (["delete", "fraud:1"], ["The version fraud:1 is removed."]),
        (["delete", "fraud", "--model", "--yes"], ["The model fraud is removed."]),
        (["keys", "list"], ["ci", "k1", "admin", "*"]),
        (["keys", "create", "shop"], ["inf_k2_shown-once\n"]),
        (["keys", "revoke", "ci"], ["The key ci is revoked."]),
        (["status"], ["leader     inferry control 7 on host, epoch 3, since", "standbys   inferry standby 8 on host"]),
        (["doctor"], ["✓ storage: 12 rows", "✓ sandbox: landlock 4"]),
    ],
)  # fmt: skip
def test_commands_speak_to_people(inferry, arguments, texts):
    done = inferry(*arguments)
    assert done.code == 0, done.err
    for text in texts:
        assert text in done.out


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["models"], {"models"}),
        (["versions", "fraud"], {"versions"}),
        (["endpoints"], {"endpoints"}),
        (["describe", "fraud"], ENDPOINT | DETAILS),
        (["describe", "fraud:3"], VERSION | {"manifest"}),
        (["rollback", "fraud", "--revision", "1"], {"endpoint", "version", "revision", "previous_revision", "url"}),
        (["scale", "fraud", "4"], {"endpoint", "version", "revision", "previous_revision", "url"}),
        (["logs", "fraud"], {"lines"}),
        (["delete", "fraud"], {"deleted", "kind"}),
        (["keys", "list"], {"keys"}),
        (["keys", "create", "shop"], {"id", "name", "role", "key"}),
        (["keys", "revoke", "ci"], {"revoked"}),
        (["status"], {"version", "http", "database", "problem", "leader", "endpoints", "revisions", "ready", "states",
                       "memory"}),
        (["doctor"], {"ok", "checks"}),
        (["predict", "fraud"], {"model", "version", "predictions", "request_id"}),
    ],
)  # fmt: skip
def test_commands_speak_json(inferry, arguments, keys):
    done = inferry(*arguments, "--json")
    assert (done.code, done.err) == (0, "")
    assert set(done.json) == keys


def test_versions_json_has_every_field(inferry):
    assert inferry("versions", "fraud", "--json").json["versions"][-1] == {
        "model": "fraud", "number": 3, "bundle": "cd" * 32, "runtime": "onnx", "size": 2_500_000,
        "created": 1.0, "created_by": "admin", "serving": ["fraud"], "aliases": [], "protected": None, "test": None, "lineage": {},
    }  # fmt: skip


def test_empty_lists_say_what_to_do_next(fake, inferry):
    fake.next_answers = [Canned(200, {"models": []}), Canned(200, {"endpoints": []})]
    assert "inferry deploy PATH" in inferry("models").err
    assert "inferry deploy PATH" in inferry("endpoints").err


def test_keys_create_passes_everything_on(fake, inferry):
    inferry("keys", "create", "shop", "--role", "viewer", "--endpoint", "a", "--endpoint", "b", "--expires", "30d")
    assert fake.requests[-1].json == {
        "name": "shop", "role": "viewer", "endpoints": ["a", "b"], "expires_s": 30 * 86400,
    }  # fmt: skip


def test_doctor_exits_1_when_a_check_fails(fake, inferry):
    fake.diagnosis_ok = False
    done = inferry("doctor")
    assert done.code == 1
    assert "✗ sandbox: landlock 4\n  help: Use a newer kernel." in done.out
    done = inferry("doctor", "--json")
    assert (done.code, done.json["ok"]) == (1, False)


def test_a_describe_shows_what_is_wrong(fake, inferry):
    fake.next_answers = [
        Canned(200, {**fake._details(), "state": "failing", "problem": "The model needs more memory."})
    ]
    assert "problem    The model needs more memory." in inferry("describe", "fraud").out


def test_global_options_win(fake, inferry, monkeypatch):
    monkeypatch.setenv("INFERRY_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("INFERRY_API_KEY", "wrong")
    assert inferry("models").code == 1
    assert inferry("--url", fake.control, "--key", "inf_test_secret", "models").code == 0


def test_the_home_alone_is_enough(fake, inferry, monkeypatch, tmp_path):
    monkeypatch.delenv("INFERRY_URL")
    monkeypatch.delenv("INFERRY_API_KEY")
    (tmp_path / "addresses.json").write_text(f'{{"http": "{fake.http}", "control": "{fake.control}"}}')
    (tmp_path / "admin.key").write_text("inf_test_secret\n")
    assert inferry("--home", str(tmp_path), "predict", "echo", "-d", "1").out == "1\n"
    assert fake.paths() == ["POST /predict/echo"]
