"""A tracking server that says what it likes, on a real socket: what is believed, and what is refused."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.bridges import mlflow_files
from inferry.bridges.mlflow_files import checked, fetch_files
from inferry.bridges.mlflow_lineage import is_of, lineage_of
from inferry.bridges.mlflow_login import server_of
from inferry.bridges.mlflow_rest import Listed, Measured, Pair, Registered, Registry, Training
from inferry.errors import (
    Forbidden,
    InferryError,
    InvalidInput,
    InvalidModel,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from inferry.policy.lineage import check_lineage

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


class Scripted:
    """`answers`: by path (with the folder that is listed), a status and a body."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.headers: list[dict[str, str]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                asked = parse_qs(parts.query)
                path = parts.path + (f"?{asked['path'][0]}" if "path" in asked else "")
                scripted.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, body = scripted.answers.get(path, (404, {"error_code": "ENDPOINT_NOT_FOUND", "message": path}))
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def files(self, *entries: object, folder: str = "m") -> None:
        self.answers[f"{ARTIFACTS}?{folder}"] = 200, {"files": entries}

    def uri(self, uri: str) -> None:
        self.answers["/api/2.0/mlflow/model-versions/get-download-uri"] = 200, {"artifact_uri": uri}


@pytest.fixture
def scripted():
    made = Scripted()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def registry(scripted, tmp_path):
    made = Registry(server_of(scripted.url, {}, tmp_path), timeout=5)
    yield made
    made.close()


def entry(path, size=3, is_dir=False):
    return {"path": path, "is_dir": is_dir, "file_size": size}


def test_a_folder_is_fetched_with_its_folders(scripted, registry, tmp_path) -> None:
    scripted.files(entry("MLmodel", "3"), entry("data", None, is_dir=True))
    scripted.files(entry("a b.pkl", None), folder="m/data")
    scripted.answers[f"{ARTIFACTS}/m/MLmodel"] = 200, b"abc"
    scripted.answers[f"{ARTIFACTS}/m/data/a%20b.pkl"] = 200, b"defg"
    assert fetch_files(registry, "m", tmp_path) == 7
    assert (tmp_path / "data/a b.pkl").read_bytes() == b"defg"


@pytest.mark.parametrize("name", ["..", ".", "", "../x", "/etc/passwd", "a/../../x", "a\\b", "x\0y", "x\ny", "n" * 256])
def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_fetched(scripted, registry, tmp_path, name) -> None:
    scripted.files(entry("MLmodel"), entry(name))
    with pytest.raises(InvalidModel, match="unsafe name"):
        fetch_files(registry, "m", tmp_path)
    assert list(tmp_path.iterdir()) == []


@given(st.text())
def test_a_name_that_is_taken_stays_in_its_folder(tmp_path_factory, name) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        safe = checked(Listed(path=name))
    except InvalidModel:
        return
    assert (folder / safe).parent == folder
    assert (folder / safe).resolve().parent == folder.resolve()


def test_what_is_too_much_is_refused(scripted, registry, tmp_path, monkeypatch) -> None:
    scripted.files(entry("big", 10**15))
    with pytest.raises(TooLarge, match="bytes"):
        fetch_files(registry, "m", tmp_path)
    scripted.files(entry("longer", 3))
    scripted.answers[f"{ARTIFACTS}/m/longer"] = 200, b"1234"
    with pytest.raises(TooLarge, match="larger than was listed"):
        fetch_files(registry, "m", tmp_path)
    scripted.files(entry("unsaid", None))
    scripted.answers[f"{ARTIFACTS}/m/unsaid"] = 200, b"1234"
    with pytest.raises(TooLarge, match="may be fetched"):
        fetch_files(registry, "m", tmp_path, most=3)
    scripted.files(entry("minus", -5))
    with pytest.raises(InvalidModel, match="-5 bytes"):
        fetch_files(registry, "m", tmp_path)
    monkeypatch.setattr(mlflow_files, "MAX_FILES", 5)
    scripted.files(*(entry(f"f{i}") for i in range(6)))
    with pytest.raises(TooLarge, match="more than 5 files"):
        fetch_files(registry, "m", tmp_path)
    scripted.files(entry("twice"), entry("twice"))
    scripted.answers[f"{ARTIFACTS}/m/twice"] = 200, b"123"
    with pytest.raises(InvalidModel, match="twice"):
        fetch_files(registry, "m", tmp_path)
    scripted.files()
    with pytest.raises(InvalidModel, match="no files"):
        fetch_files(registry, "m", tmp_path)


def test_folders_without_end_are_refused(scripted, registry, tmp_path) -> None:
    inside = "m"
    for _ in range(20):
        scripted.files(entry("d", None, is_dir=True), folder=inside)
        inside += "/d"
    with pytest.raises(TooLarge, match="deep"):
        fetch_files(registry, "m", tmp_path)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"", Unauthorized),
        (403, {"error_code": "PERMISSION_DENIED", "message": "no"}, Forbidden),
        (429, b"", Unavailable),
        (500, {"error_code": "INTERNAL_ERROR", "message": "x"}, Unavailable),
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no model"}, NotFound),
        (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias x not found."}, NotFound),
        (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "bad\x1b[31m name"}, InvalidInput),
        (404, b"<html>", InvalidInput),
        (302, b"", InvalidInput),
        (200, b"<html>", InvalidInput),
        (200, {"model_version": {"name": "f"}}, InvalidInput),
        (200, b"[" * 100_000, InvalidInput),
        (200, b" " * (17 << 20), TooLarge),
    ],
)  # fmt: skip
def test_each_answer_has_its_meaning(scripted, registry, status, body, kind) -> None:
    scripted.answers["/api/2.0/mlflow/registered-models/alias"] = status, body
    with pytest.raises(InferryError) as refused:
        registry.aliased("f", "x")
    assert type(refused.value) is kind
    assert refused.value.sentence().isprintable()


def test_only_files_that_the_server_hands_out_are_taken(scripted, registry) -> None:
    for uri, folder in (
        ("mlflow-artifacts:/0/models/m-1/artifacts", "0/models/m-1/artifacts"),
        (f"mlflow-artifacts://{scripted.url[7:]}/0/x", "0/x"),
        (f"{scripted.url}{ARTIFACTS}/0/x", "0/x"),
    ):
        scripted.uri(uri)
        assert registry.folder("f", "1") == folder
    for uri in ("s3://bucket/x", "file:///etc", "/etc", "mlflow-artifacts://elsewhere:1/x", "http://elsewhere/x", ""):
        scripted.uri(uri)
        with pytest.raises(Unsupported, match="does not hand out"):
            registry.folder("f", "1")


def test_nobody_there_is_said_in_words(tmp_path) -> None:
    gone = Registry(server_of("http://127.0.0.1:9", {}, tmp_path))
    with pytest.raises(Unavailable, match="cannot be reached"):
        gone.aliased("f", "x")
    gone.close()


def test_credentials_are_those_of_mlflows_own_clients(scripted, tmp_path) -> None:
    url = scripted.url
    kept = tmp_path / ".mlflow/credentials"
    user = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "x%y"}
    token = {"MLFLOW_TRACKING_TOKEN": "t0k"}
    assert server_of(url, {}, tmp_path).authorization == ""
    assert server_of(url, token, tmp_path).authorization == "Bearer t0k"
    assert server_of(url, user | token, tmp_path).authorization == "Basic " + b64encode(b"ada:x%y").decode()
    kept.parent.mkdir()
    kept.write_text("[mlflow]\nmlflow_tracking_username = ada\nmlflow_tracking_password = x%y\n")
    from_file = server_of(url, {}, tmp_path)
    assert from_file.authorization == server_of(url, user, tmp_path).authorization
    named = server_of(url.replace("//", "//ada:x%25y@") + "/", {}, tmp_path)
    assert named.authorization == from_file.authorization
    assert (named.url, "ada" in repr(named)) == (url, False)
    registry = Registry(named)
    with pytest.raises(NotFound):
        scripted.answers["/api/2.0/mlflow/registered-models/alias"] = 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
        registry.aliased("f", "x")
    registry.close()
    assert scripted.headers[-1]["authorization"] == from_file.authorization
    assert server_of("", {"MLFLOW_TRACKING_URI": url}, tmp_path).url == url
    assert server_of(url, {"MLFLOW_TRACKING_INSECURE_TLS": "true"}, tmp_path).verify is False


@pytest.mark.parametrize("url", ["", "sqlite:///m.db", "databricks", "http://", "http://h:x", "//h", "file:///x"])
def test_what_is_no_server_is_refused(url, tmp_path) -> None:
    with pytest.raises(InvalidInput, match="not the address of an MLflow"):
        server_of(url, {}, tmp_path)


FOUND = Registered(
    name="Fraud EU", version="3", run_id="r1", description="better\nindeed", tags=(Pair("team", "risk"),)
)


def test_lineage_has_what_the_run_knows() -> None:
    training = Training(
        tags=(
            Pair("mlflow.source.git.commit", "abc"), Pair("mlflow.source.git.branch", "main"),
            Pair("mlflow.source.git.repoURL", "https://ada:secret@github.com/a/b.git"), Pair("mlflow.user", "ada"),
        ),
        metrics=(Measured("auc", 0.9), Measured("val/loss rate", 1.5), Measured("odd", "NaN"), Measured("inf", 1e999)),
        data=(("train", "6fa8888a"),),
    )  # fmt: skip
    made = check_lineage(lineage_of("http://m:5000", FOUND, training))
    assert (made.commit, made.branch, made.run, made.remote) == ("abc", "main", "r1", "https://github.com/a/b.git")
    assert made.metrics == {"auc": 0.9, "val/loss_rate": 1.5}
    assert (made.data, made.message) == ("mlflow:train@6fa8888a", "better indeed")
    assert made.labels == {
        "team": "risk", "mlflow.server": "http://m:5000", "mlflow.version": "Fraud EU/3", "mlflow.user": "ada",
    }  # fmt: skip
    assert is_of(made.labels, "http://m:5000", FOUND)
    assert not is_of(made.labels, "http://n:5000", FOUND)


WILD = st.lists(st.builds(Pair, st.text(max_size=80), st.text(max_size=400)), max_size=100).map(tuple)
NUMBERS = st.lists(st.builds(Measured, st.text(max_size=80), st.floats() | st.text()), max_size=200).map(tuple)


@given(st.text(max_size=400), WILD, WILD, NUMBERS, st.lists(st.tuples(st.text(), st.text()), max_size=20).map(tuple))
def test_whatever_a_run_says_can_be_kept(text, tags, run_tags, metrics, data) -> None:
    found = Registered(name=text, version="1", run_id=text[:64], description=text, tags=tags)
    made = lineage_of("http://m", found, Training(tags=run_tags, metrics=metrics, data=data))
    check_lineage(made)
    assert is_of(made.labels, "http://m", found)
