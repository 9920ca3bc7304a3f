"""A control API and an inference listener on real sockets, scripted: what client and CLI are tried on.

Both answer as the API's documentation says, from state that a test may look at and change.
`requests` keeps what came; `next_answers` holds answers to give instead, oldest first.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np

KEY = "inf_test_secret"
DTYPES = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "BOOL": "?"}
CLASSES = ["no", "yes"]

TABLE = {
    "kind": "table",
    "batchable": True,
    "inputs": [
        {"name": "age", "datatype": "FP64", "shape": [-1], "nullable": True},
        {"name": "job", "datatype": "BYTES", "shape": [-1], "nullable": True, "categories": ["clerk", "smith"]},
    ],
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2], "labels": CLASSES},
    ],
}
ARRAY = {
    "kind": "tensors",
    "batchable": True,
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
}
SIGNATURES = {"fraud": TABLE, "double": ARRAY, "echo": {"kind": "open"}}
EXAMPLES = {"fraud": [{"age": 41.0, "job": "clerk"}], "double": [[1.0, 2.0, 3.0, 4.0]], "echo": {"say": "hello"}}


@dataclass
class Seen:
    """One request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Canned:
    """An answer to give in place of the scripted one. `drop`: close the connection instead."""

    status: int = 503
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    after: float = 0.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hung up is what some tests are about."""


class FakePlatform:
    """Start with `with`; `control` and `http` are its addresses."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.next_answers: list[Canned] = []
        self.signatures = {name: dict(signature) for name, signature in SIGNATURES.items()}
        self.revision, self.version = 2, 3
        self.deploy_error: dict | None = None
        self.deploy_unchanged = False
        self.diagnosis_ok = True
        self.uploaded: dict[str, bytes] = {}
        self._servers = [self._listen(self._control), self._listen(self._inference)]
        self.control, self.http = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self):
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}) for server in self._servers
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def paths(self) -> list[str]:
        """Verbs and paths of all requests, oldest first."""
        return [f"{seen.method} {seen.path}" for seen in self.requests]

    def _listen(self, respond):
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one(self):
                url = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                headers = {key.lower(): value for key, value in self.headers.items()}
                seen = Seen(self.command, url.path, query, headers, self._body(headers))
                platform.requests.append(seen)
                canned = platform.next_answers.pop(0) if platform.next_answers else None
                if canned is not None:
                    time.sleep(canned.after)
                    if canned.drop:
                        self.close_connection = True
                        return
                    self._write(canned.status, canned.body, canned.headers)
                elif seen.path not in ("/healthz", "/") and headers.get("authorization") != f"Bearer {KEY}":
                    said = {"code": "unauthorized", "message": "This key is not known.", "help": "Send a key."}
                    self._write(401, {"error": said}, {"www-authenticate": "Bearer", "x-request-id": "r-1"})
                else:
                    self._write(*respond(seen))

            do_GET = do_POST = do_DELETE = handle_one

            def _body(self, headers):
                if headers.get("transfer-encoding") == "chunked":
                    parts = []
                    while size := int(self.rfile.readline(), 16):
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(parts)
                return self.rfile.read(int(headers.get("content-length", 0)))

            def _write(self, status, body, headers=()):
                raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_):
                pass

        return _Server(("127.0.0.1", 0), Handler)

    # -- inference

    def _inference(self, seen: Seen):
        parts = seen.path.strip("/").split("/")
        name = parts[1] if parts[0] in ("predict", "endpoints") else parts[2] if len(parts) > 2 else ""
        if parts[0] in ("predict", "endpoints", "v2") and name not in self.signatures:
            if parts[0] == "v2":
                return 404, {"error": f"There is no endpoint '{name}'."}
            return missing(f"There is no endpoint '{name}'.")
        headers = {"inferry-version": str(self.version), "inferry-revision": str(self.revision)}
        headers["inferry-request-id"] = "r-1"
        if parts[0] == "endpoints":
            return 200, self.card(name)
        if parts[0] == "predict":
            body = seen.json
            if body == "boom":
                return 500, {"error": {"code": "model_failed", "message": "The model raised ValueError."}}
            return 200, {"model": name, "version": self.version, "predictions": self._plain(name, body)}, headers
        if parts[0] == "v2":
            return self._oip(name, seen, headers)
        return missing("There is no such route.")

    def card(self, name):
        return {
            "name": name, "model": name, "version": self.version, "revision": self.revision, "runtime": "onnx",
            "timeout_s": 30.0, "signature": self.signatures[name], "example": EXAMPLES[name],
        }  # fmt: skip

    def _plain(self, name, body):
        if name == "echo":
            return body
        if name == "double":
            return [{"y": [2 * value for value in row]} for row in body]
        rows = body if isinstance(body, list) else [body]
        return [{"label": "yes", "probabilities": {"no": 0.25, "yes": 0.75}} for _ in rows]

    def _oip(self, name, seen, headers):
        size = int(seen.headers.get("inference-header-content-length", len(seen.body)))
        head, at, inputs = json.loads(seen.body[:size]), size, {}
        for tensor in head["inputs"]:
            length = tensor.get("parameters", {}).get("binary_data_size")
            if length is None:
                if tensor["datatype"] == "FP64" and any(isinstance(value, str) for value in tensor["data"]):
                    return 400, {"error": f"Row 1, input '{tensor['name']}': expected a number."}
                inputs[tensor["name"]] = tensor["data"]
            elif tensor["datatype"] == "BYTES":
                inputs[tensor["name"]] = read_texts(seen.body[at : at + length])
            else:
                raw = np.frombuffer(seen.body[at : at + length], DTYPES[tensor["datatype"]])
                inputs[tensor["name"]] = raw.reshape(tensor["shape"])
            at += length or 0
        names = {spec["name"] for spec in self.signatures[name]["inputs"]}
        if set(inputs) != names:
            return 400, {"error": "The inputs are not the model's."}, headers
        self.inputs = inputs
        rows = head["inputs"][0]["shape"][0]
        if name == "double":
            return write_oip({"y": ("FP32", 2 * inputs["x"])}, headers)
        probabilities = np.tile([0.25, 0.75], (rows, 1))
        return write_oip({"label": ("BYTES", ["yes"] * rows), "probabilities": ("FP64", probabilities)}, headers)

    # -- control

    def _control(self, seen: Seen):
        parts = [part for part in seen.path.split("/") if part][1:]
        match [seen.method, *parts]:
            case ["GET", "info"]:
                return 200, {"version": "0.1.0", "http": self.http}
            case ["GET", "models"]:
                return 200, {"models": [{"name": "fraud", "versions": 2, "latest": 3, "created": 1.0}]}
            case ["GET", "models", "fraud", "versions"]:
                return 200, {"versions": [self._version(1), self._version(3)]}
            case ["GET", "models", "fraud", "versions", "3"]:
                files = [{"path": "artifact/model.onnx", "sha256": "ab" * 32, "size": 2_500_000}]
                return 200, {**self._version(3), "manifest": {"runtime": "onnx", "files": files}}
            case ["DELETE", "models", "fraud"] | ["DELETE", "models", "fraud", "versions", "1"]:
                return 204, None
            case ["DELETE", "models", "fraud", "versions", "3"]:
                said = {"code": "conflict", "message": "fraud:3 is used by 'fraud'.", "help": "Delete the endpoint."}
                return 409, {"error": said}
            case ["GET", "endpoints"]:
                return 200, {"endpoints": [self._endpoint()]}
            case ["GET", "endpoints", "fraud"]:
                return 200, self._details()
            case ["DELETE", "endpoints", "fraud"]:
                return 204, None
            case ["POST", "endpoints", name, "deploy"]:
                with tarfile.open(fileobj=io.BytesIO(seen.body)) as archive:
                    self.uploaded = {member.name: archive.extractfile(member).read() for member in archive}
                return 202, {"operation": f"op-{name}"}
            case ["GET", "operations", operation]:
                return 200, self._operation(operation.removeprefix("op-"), int(seen.query["after"]))
            case ["POST", "endpoints", "fraud", "rollback"]:
                return 200, self._switched(seen.json.get("revision", 1), version=1)
            case ["POST", "endpoints", "fraud", "scale"]:
                return 200, self._switched(3, version=3)
            case ["GET", "endpoints", "fraud", "logs"]:
                return 200, {"lines": ["line one", "line two"][-int(seen.query["lines"]) :]}
            case ["GET", "keys"]:
                return 200, {
                    "keys": [
                        {"id": "k1", "name": "ci", "role": "admin", "endpoints": ["*"], "created": 1.0, "expires": 0}
                    ]
                }
            case ["POST", "keys"]:
                return 201, {
                    "id": "k2",
                    "name": seen.json["name"],
                    "role": seen.json["role"],
                    "key": "inf_k2_shown-once",
                }
            case ["DELETE", "keys", "ci"]:
                return 204, None
            case ["GET", "status"]:
                leader = {
                    "name": "inferry control 7 on host", "epoch": 3, "since": 1700000000.0,
                    "standbys": ["inferry standby 8 on host"],
                }  # fmt: skip
                return 200, {
                    "version": "1.0", "http": self.http, "database": "postgresql://inferry@db/inferry", "problem": "",
                    "leader": leader, "endpoints": 1, "revisions": 2, "ready": 2,
                }  # fmt: skip
            case ["GET", "doctor"]:
                broken = {
                    "name": "sandbox",
                    "ok": self.diagnosis_ok,
                    "level": "ok" if self.diagnosis_ok else "fail",
                    "detail": "landlock 4",
                    "help": "Use a newer kernel.",
                }
                return 200, {
                    "ok": self.diagnosis_ok,
                    "checks": [{"name": "storage", "ok": True, "level": "ok", "detail": "12 rows"}, broken],
                }
        return missing("There is no such thing.")

    def _version(self, number):
        return {
            "model": "fraud", "number": number, "bundle": "cd" * 32, "runtime": "onnx", "size": 2_500_000,
            "created": 1.0, "created_by": "admin", "serving": ["fraud"] if number == 3 else [],
        }  # fmt: skip

    def _endpoint(self):
        return {
            "name": "fraud", "model": "fraud", "version": 3, "revision": 2, "replicas": {"ready": 1, "wanted": 1},
            "state": "ready", "url": f"{self.http}/predict/fraud", "updated": 2.0,
        }  # fmt: skip

    def _details(self):
        revisions = [
            {"number": 1, "version": 1, "config": {}, "replaces": 0, "created": 1.0, "created_by": "admin"},
            {
                "number": 2,
                "version": 3,
                "config": {"replicas": 1},
                "replaces": 1,
                "created": 2.0,
                "created_by": "admin",
            },
        ]
        return {
            **self._endpoint(), "signature": TABLE, "example": EXAMPLES["fraud"], "traffic": {"2": 100},
            "revisions": revisions, "curl": "curl http://...", "python": "import inferry", "problem": None,
        }  # fmt: skip

    def _switched(self, revision, version):
        url = f"{self.http}/predict/fraud"
        return {"endpoint": "fraud", "version": version, "revision": revision, "previous_revision": 2, "url": url}

    def _operation(self, name, after):
        steps = ["receive", "detect", "inspect"]
        events = []
        for step in steps:
            for state, ms in (("started", None), ("done", 12.3)):
                events.append(
                    {
                        "seq": len(events) + 1,
                        "step": step,
                        "state": state,
                        "message": "" if ms else f"{step}...",
                        "ms": ms,
                    }
                )
        shown, state = ([e for e in events if after < e["seq"] <= after + 3], "running")
        result = error = None
        if after + 3 >= len(events):
            state, error = ("failed", self.deploy_error) if self.deploy_error else ("done", None)
            result = None if self.deploy_error else {
                "endpoint": name, "model": name, "version": 3, "revision": 2, "url": f"{self.http}/predict/{name}",
                "new_version": not self.deploy_unchanged, "unchanged": self.deploy_unchanged, "signature": TABLE,
                "example": EXAMPLES["fraud"], "answer": [{"label": "yes"}], "curl": "curl -d ... URL",
                "python": "import inferry\ninferry.connect()", "notes": ["Served by onnxruntime."],
                "timings": {"receive": 1.2, "total": 345.6},
            }  # fmt: skip
        return {"id": f"op-{name}", "state": state, "events": shown, "result": result, "error": error}


def missing(message):
    return 404, {"error": {"code": "not_found", "message": message, "help": "Look at the list."}}


def read_texts(raw):
    found, at = [], 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        found.append(raw[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found


def write_oip(outputs, headers):
    heads, blobs = [], []
    for name, (datatype, values) in outputs.items():
        if datatype == "BYTES":
            raw = b"".join(struct.pack("<I", len(text)) + text.encode() for text in values)
            shape = [len(values)]
        else:
            raw, shape = np.asarray(values, DTYPES[datatype]).tobytes(), list(np.shape(values))
        heads.append({"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}})
        blobs.append(raw)
    head = json.dumps({"model_name": "m", "model_version": "3", "outputs": heads}).encode()
    sized = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream", **headers}
    return 200, b"".join([head, *blobs]), sized
