"""Bad requests over raw sockets, and what every refusal must look like.

Bytes -> socket -> Answer -> `check`: the status, the code, the error form of the door that was
spoken to, a sentence that says what to do, and nothing of the platform's insides.
"""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

OIP, MLFLOW, PLAIN = "oip", "mlflow", "plain"
FORMS = (  # /v1 and /v2 share one
    (re.compile(r"/v[12](/|$)"), OIP),
    (re.compile(r"(/endpoints/[^/]*)?/(invocations|ping)$|/(version|health)$"), MLFLOW),
    (re.compile(r"/endpoints/[^/]+$"), OIP),  # Hugging Face's path: the error is a text there too
)
ROUTES = r"v1|v2|predict|endpoints|metrics|healthz|docs|invocations"
LEAK = re.compile(rf"Traceback|File \"|\b0x[0-9a-fA-F]{{3,}}|(?<![\w.<:/])/(?!/|(?:{ROUTES})\b)|site-packages")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ENDING = (".", "?", ")", "…")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Case:
    """One bad request and what must come of it. `key` names a key of the test's own, "" for none; `body`: bytes, a JSON value, or a function that makes either."""

    name: str
    method: str
    path: str
    status: int
    code: str
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    key: str = "admin"
    control: bool = False

    @property
    def form(self) -> str:
        if self.control:
            return PLAIN
        return next((form for pattern, form in FORMS if pattern.match(self.path)), PLAIN)

    def content(self) -> bytes:
        body = self.body() if callable(self.body) else self.body
        return body if isinstance(body, bytes) else json.dumps(body).encode()


def speak(url: str, *parts: bytes | float, timeout: float = 20.0) -> Answer | None:
    """Send the bytes, sleeping where a number is given, and read one answer; None when the peer hung up."""
    target = urlsplit(url)
    with socket.create_connection((target.hostname, target.port), timeout) as connection:
        connection.settimeout(timeout)
        try:
            for part in parts:
                if isinstance(part, bytes):
                    connection.sendall(part)
                else:
                    time.sleep(part)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent: the answer is there to read
        return read_answer(connection)


def read_answer(connection: socket.socket) -> Answer | None:
    """One answer behind any "100 Continue": head, then as many bytes as it says."""
    data = b""
    try:
        while b"\r\n\r\n" not in (data := data.removeprefix(CONTINUE)):
            piece = connection.recv(1 << 16)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            piece = connection.recv(1 << 16)
            assert piece, f"the answer ended after {len(body)} of {length} bytes"
            body += piece
    except ConnectionResetError:
        return None
    return Answer(int(lines[0].split()[1]), headers, body)


def request(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, key: str = "") -> bytes:
    """A whole request as bytes, nothing normalised on the way."""
    lines = {
        "host": "127.0.0.1",
        **({"authorization": f"Bearer {key}"} if key else {}),
        **({"content-length": str(len(body))} if body or method in ("POST", "PUT", "PATCH") else {}),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def check(answer: Answer | None, status: int, code: str, form: str) -> dict[str, str]:
    """AssertionError unless this is a refusal as documented. Returns its words."""
    assert answer is not None, "the connection was closed without an answer"
    assert answer.status == status, (answer.status, answer.body[:400])
    assert answer.headers["content-type"].startswith("application/json"), answer.headers
    error = answer.json() if form == MLFLOW else answer.json()["error"]
    assert form == MLFLOW or list(answer.json()) == ["error"], answer.body
    if form == MLFLOW:
        assert set(error) == {"error_code", "message"}, error
        assert error["error_code"] == mlflow_code(status, code), error
        words = {"message": error["message"]}
    elif form == OIP:
        assert isinstance(error, str), error
        words = {"message": error}
    else:
        assert error["code"] == code, error
        assert set(error) == {"code", "message", "help"}, f"it does not say what to do: {error}"
        words = error
    if form != PLAIN:
        assert re.search(r"[.?] \S", words["message"]), f"it does not say what to do: {error}"
    sentences(**{name: text for name, text in words.items() if name != "code"})
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    return words


def mlflow_code(status: int, code: str) -> str:
    """MLflow's word for a refusal: a case that expects BAD_REQUEST says so, as only it means the form."""
    words = {
        400: "INVALID_PARAMETER_VALUE", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "ENDPOINT_NOT_FOUND",
        500: "INTERNAL_ERROR",
    }  # fmt: skip
    return code if code.isupper() else words.get(status, "BAD_REQUEST")


def sentences(message: str, help: str = "", sent: bytes = b"") -> None:
    """Words for people: whole sentences, short, with nothing of the platform's insides.

    What the client sent may be shown to it again, and what its code raised ends as it likes.
    """
    assert message[:1].isupper() or re.match(r"['\"0-9-]|[a-z_.]+\.(?:txt|json|pbtxt|py) |[a-z0-9-]+:[0-9]", message), (
        message
    )
    assert message.rstrip().endswith(ENDING) or not help or " raised " in message or "loaded: " in message, message
    assert len(message) + len(help) < 1200, f"{len(message) + len(help)} characters"
    words = f"{message} {help}"
    for leak in LEAK.finditer(words):
        token = re.match(r"[^\s'\",;)]*", words[leak.start() :])
        assert token, words
        shown = token[0].encode()
        assert shown, f"{leak[0]!r} leaks in: {words}"
        assert shown in sent, f"{token[0]!r} leaks in: {words}"
    assert (message + help).isprintable(), (message, help)
