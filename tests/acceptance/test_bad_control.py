"""Bad requests to the control API, starts that cannot work, and what is open to others."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Target
from tests.support import processes
from tests.support.platform import Platform, inferry_command
from tests.support.refusals import Case, check, request, speak


def ask(name: str, method: str, path: str, status: int, code: str, body: Any = b"", **more: Any) -> Case:
    return Case(name, method, path, status, code, body, control=True, **more)


KEY = {"name": "made", "role": "invoker"}
DEPLOY = "/v1/endpoints/new/deploy"
NAMED = {  # routes that take a name, with what else they need
    "deploy": ("POST", "/v1/endpoints/{}/deploy?filename=m.onnx", b""),
    "endpoint": ("GET", "/v1/endpoints/{}", b""),
    "delete endpoint": ("DELETE", "/v1/endpoints/{}", b""),
    "logs": ("GET", "/v1/endpoints/{}/logs", b""),
    "rollback": ("POST", "/v1/endpoints/{}/rollback", {}),
    "scale": ("POST", "/v1/endpoints/{}/scale", {"replicas": 1}),
    "versions": ("GET", "/v1/models/{}/versions", b""),
    "version": ("GET", "/v1/models/{}/versions/1", b""),
    "delete model": ("DELETE", "/v1/models/{}", b""),
    "delete version": ("DELETE", "/v1/models/{}/versions/1", b""),
}
BAD_NAMES = {
    "upper case": "Fraud", "64 characters": "a" * 64, "a space": "a%20b", "NUL": "a%00", "dots": "..", "dot": ".",
    "encoded dots": "%2e%2e", "newline": "a%0ab", "a leading dash": "-a", "not UTF-8": "%ff", "unicode": "%C3%A9",
    "a quote": "a'b", "a template": "%7B%7Ba%7D%7D", "a colon": "a:1",
}  # fmt: skip
BENT_NAMES = {"up and out": "..%2fx", "slash": "a%2fb", "deep": "a%2f..%2f..%2fetc%2fpasswd", "empty": ""}

NAMES = [
    ask(f"{route}: {name}", method, path.format(wire), 400, "invalid_name", body)
    for route, (method, path, body) in NAMED.items()
    for name, wire in BAD_NAMES.items()
] + [
    ask(f"{route}: {name}", method, path.format(wire), 404, "not_found", body)
    for route, (method, path, body) in NAMED.items()
    for name, wire in BENT_NAMES.items()
]

ROUTES = [
    ask("no such route", "GET", "/v1/secrets", 404, "not_found"),
    ask("the root", "GET", "/", 404, "not_found"),
    ask("up and out", "GET", "/v1/../etc/passwd", 404, "not_found"),
    ask("predictions are not on this port", "POST", "/predict/table", 404, "not_found", [1]),
    ask("the protocol is not on this port", "GET", "/v2/models/table", 404, "not_found"),
    ask("POST to models", "POST", "/v1/models", 405, "method_not_allowed", {}),
    ask("GET of deploy", "GET", "/v1/endpoints/table/deploy", 405, "method_not_allowed"),
    ask("PUT to an endpoint", "PUT", "/v1/endpoints/table", 405, "method_not_allowed", {}),
    ask("POST to info", "POST", "/v1/info", 405, "method_not_allowed", {}),
    ask("DELETE of operations", "DELETE", "/v1/operations/1", 405, "method_not_allowed"),
    ask("PATCH of keys", "PATCH", "/v1/keys", 405, "method_not_allowed", {}),
    ask("POST to doctor", "POST", "/v1/doctor", 405, "method_not_allowed", {}),
    ask("unknown endpoint", "GET", "/v1/endpoints/nobody", 404, "not_found"),
    ask("delete of an unknown endpoint", "DELETE", "/v1/endpoints/nobody", 404, "not_found"),
    ask("rollback of an unknown endpoint", "POST", "/v1/endpoints/nobody/rollback", 404, "not_found", {}),
    ask("scale of an unknown endpoint", "POST", "/v1/endpoints/nobody/scale", 404, "not_found", {"replicas": 2}),
    ask("logs of an unknown endpoint", "GET", "/v1/endpoints/nobody/logs", 404, "not_found"),
    ask("unknown model", "GET", "/v1/models/nobody/versions", 404, "not_found"),
    ask("delete of an unknown model", "DELETE", "/v1/models/nobody", 404, "not_found"),
    ask("unknown version", "GET", "/v1/models/table/versions/99", 404, "not_found"),
    ask("version zero", "GET", "/v1/models/table/versions/0", 404, "not_found"),
    ask("a version that is no number", "GET", "/v1/models/table/versions/one", 400, "invalid_input"),
    ask("a negative version", "GET", "/v1/models/table/versions/-1", 400, "invalid_input"),
    ask("a version of thirty digits", "GET", f"/v1/models/table/versions/{'9' * 30}", 400, "invalid_input"),
    ask("a version in another script", "GET", "/v1/models/table/versions/%D9%A1", 400, "invalid_input"),
    ask("unknown operation", "GET", "/v1/operations/0123456789abcdef", 404, "not_found"),
    ask("an operation up and out", "GET", "/v1/operations/..%2f..%2fx", 404, "not_found"),
    ask("unknown key", "DELETE", "/v1/keys/nobody", 404, "not_found"),
]  # fmt: skip

BODIES = [
    ask(f"{name} to {route}", "POST", path, 400, "invalid_input", body)
    for route, path in (("keys", "/v1/keys"), ("rollback", "/v1/endpoints/table/rollback"), ("scale", "/v1/endpoints/table/scale"))
    for name, body in {
        "malformed": b"{", "deep": b"[" * 200_000, "a list": b"[]", "null": b"null", "text": b'"x"', "NaN": b'{"a": NaN}',
        "not UTF-8": b'{"name": "\xff"}', "an unknown field": {"path": "/etc/passwd"}, "a pickle": b"\x80\x04cos\nsystem\n.",
    }.items()
] + [
    ask("a body over the limit", "POST", "/v1/keys", 413, "too_large", b'{"name": "' + b"a" * (2 << 20) + b'"}'),
    ask("a key without a name", "POST", "/v1/keys", 400, "invalid_input", {}),
    ask("a key with a bad name", "POST", "/v1/keys", 400, "invalid_name", {**KEY, "name": "../x"}),
    ask("a key with a lone surrogate", "POST", "/v1/keys", 400, "invalid_input", b'{"name": "\\ud800"}'),
    ask("a key with an unknown role", "POST", "/v1/keys", 400, "invalid_input", {**KEY, "role": "root"}),
    ask("a key for no endpoint", "POST", "/v1/keys", 400, "invalid_input", {**KEY, "endpoints": []}),
    ask("a key for a bad endpoint name", "POST", "/v1/keys", 400, "invalid_name", {**KEY, "endpoints": ["a/b"]}),
    ask("a key that expired", "POST", "/v1/keys", 400, "invalid_input", {**KEY, "expires_s": -1}),
    ask("a key that expires in text", "POST", "/v1/keys", 400, "invalid_input", {**KEY, "expires_s": "soon"}),
    ask("a key that expires after all time", "POST", "/v1/keys", 400, "invalid_input", b'{"name": "k", "expires_s": 1e999}'),
    ask("a key whose name is taken", "POST", "/v1/keys", 409, "conflict", {**KEY, "name": "bad-viewer"}),
    ask("no replicas", "POST", "/v1/endpoints/table/scale", 400, "invalid_input", {"replicas": 0}),
    ask("negative replicas", "POST", "/v1/endpoints/table/scale", 400, "invalid_input", {"replicas": -1}),
    ask("a million replicas", "POST", "/v1/endpoints/table/scale", 400, "invalid_input", {"replicas": 1_000_000}),
    ask("half a replica", "POST", "/v1/endpoints/table/scale", 400, "invalid_input", {"replicas": 1.5}),
    ask("replicas over 64 bits", "POST", "/v1/endpoints/table/scale", 400, "invalid_input", {"replicas": 2**70}),
    ask("nothing to roll back to", "POST", "/v1/endpoints/table/rollback", 409, "conflict", {}),
    ask("a revision that is not there", "POST", "/v1/endpoints/table/rollback", 409, "conflict", {"revision": 77}),
    ask("the revision that serves", "POST", "/v1/endpoints/table/rollback", 409, "conflict", {"revision": 1}),
    ask("a revision over 64 bits", "POST", "/v1/endpoints/table/rollback", 409, "conflict", {"revision": 2**70}),
    ask("a version in use", "DELETE", "/v1/models/table/versions/1", 409, "conflict"),
    ask("a model in use", "DELETE", "/v1/models/table", 409, "conflict"),
]  # fmt: skip

QUERIES = [
    ask(f"{name} of deploy", "POST", f"{DEPLOY}?filename=m.onnx&{query}", 400, "invalid_input")
    for name, query in {
        "no replicas": "replicas=0", "too many replicas": "replicas=9999", "replicas in text": "replicas=two",
        "NaN replicas": "replicas=nan", "endless time": "timeout_s=inf", "no time": "timeout_s=0",
        "negative time": "timeout_s=-1", "negative memory": "memory_mb=-5", "memory over all": "memory_mb=1e300",
    }.items()
] + [
    ask("lines of logs in text", "GET", "/v1/endpoints/table/logs?lines=all", 400, "invalid_input"),
    ask("a billion lines", "GET", "/v1/endpoints/table/logs?lines=1e9", 400, "invalid_input"),
    ask("a long wait", "GET", "/v1/operations/x?wait=1e9", 404, "not_found"),
]  # fmt: skip

KEYS = [
    ask(f"{name}, {method} {path}", method, path, status, code, b"", **options)
    for name, status, code, options in (
        ("no key", 401, "unauthorized", {"key": ""}),
        ("a wrong key", 401, "unauthorized", {"key": "inf_aaaaaaaa_" + "x" * 43}),
        ("a revoked key", 401, "unauthorized", {"key": "revoked"}),
        ("an expired key", 401, "unauthorized", {"key": "expired"}),
        ("wrong scheme", 401, "unauthorized", {"key": "", "headers": {"authorization": "Basic YTpi"}}),
        ("an invoker", 403, "forbidden", {"key": "invoker"}),
        ("a foreign Host", 403, "forbidden", {"headers": {"host": "evil.test"}}),
    )
    for method, path in (
        ("GET", "/v1/info"), ("GET", "/v1/models"), ("GET", "/v1/endpoints"), ("GET", "/v1/endpoints/table"),
        ("GET", "/v1/keys"), ("GET", "/v1/doctor"), ("GET", "/v1/operations/x"), ("POST", "/v1/keys"), ("POST", DEPLOY),
        ("POST", "/v1/endpoints/table/rollback"), ("POST", "/v1/endpoints/table/scale"),
        ("DELETE", "/v1/endpoints/table"), ("DELETE", "/v1/models/table"), ("DELETE", "/v1/keys/bad-viewer"),
    )
    if (name, path) != ("an invoker", "/v1/info")  # every key may ask where predictions are
] + [
    ask(f"a viewer, {method} {path}", method, path, 403, "forbidden", key="viewer")
    for method, path in (
        ("POST", DEPLOY), ("DELETE", "/v1/endpoints/table"), ("DELETE", "/v1/models/table"), ("GET", "/v1/keys"),
        ("POST", "/v1/keys"), ("DELETE", "/v1/keys/admin"), ("POST", "/v1/endpoints/table/scale"),
        ("POST", "/v1/endpoints/table/rollback"),
    )
]  # fmt: skip

GROUPS = {"routes": ROUTES, "bodies": BODIES, "queries": QUERIES, "keys": KEYS, "names": NAMES}


def show(platform: Platform) -> Any:
    """All that a client can see of the state."""
    seen = {}
    for path in ("models", "endpoints", "keys", "endpoints/table", "models/table/versions"):
        seen[path] = platform.call("GET", f"/v1/{path}", control=True).json()
    return seen


@pytest.mark.parametrize("group", GROUPS)
def test_a_bad_request_to_control_is_refused_and_changes_nothing(target: Target, group: str) -> None:
    before = show(target.platform)
    problems = []
    for case in GROUPS[group]:
        try:
            check(target.send(case), case.status, case.code, case.form)
        except AssertionError as error:
            problems.append(f"{case.name}: {str(error)[:300]}")
    assert not problems, "\n".join(problems)
    assert show(target.platform) == before
    target.still_serves()


def test_an_upload_that_ends_early_leaves_nothing(target: Target) -> None:
    before, staging = show(target.platform), target.platform.home / "staging"
    path = f"{DEPLOY}?filename=m.onnx"
    whole = request("POST", path, b"x" * 100_000, key=target.platform.key)
    chunked = request("POST", path, b"", {"transfer-encoding": "chunked"}, key=target.platform.key).replace(
        b"content-length: 0\r\n", b""
    )
    for wire in (whole[:-5000], chunked + b"5\r\nhello\r\n", chunked + b"zz\r\n"):
        speak_and_leave(target.platform.control, wire)
        processes.wait_until(lambda: not list(staging.iterdir()), 5, "the staged upload is removed")
    assert show(target.platform) == before
    target.still_serves()


def speak_and_leave(url: str, wire: bytes) -> None:
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(wire)
        time.sleep(0.2)


@pytest.mark.parametrize(
    "wire",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
        b"POST /v1/keys HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/keys HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}",
        b"GET /v1/info HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 200_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    ],
    ids=["no HTTP", "no colon", "both lengths", "two lengths", "a head of 200 KB", "a TLS greeting"],
)
def test_bytes_that_are_no_http_do_not_trouble_control(target: Target, wire: bytes) -> None:
    answer = speak(target.platform.control, wire)
    if answer is not None:
        assert 400 <= answer.status < 500, answer
        assert b"Traceback" not in answer.body
        assert b"/" not in answer.body
    target.still_serves()


# starts that cannot work


def up(home: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`inferry up` that is expected to end by itself."""
    return subprocess.run(
        [*inferry_command(), "up", "--port", "0", "--grpc-port", "0", "--control-port", "0", *arguments],
        env={**os.environ, "INFERRY_HOME": str(home), **options}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def refused(result: subprocess.CompletedProcess[str], says: str) -> None:
    """It ended with 1, one error line and one help line."""
    assert result.returncode == 1, (result.returncode, result.stderr)
    lines = result.stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "help"], result.stderr
    message, help = (line.partition(": ")[2] for line in lines)
    assert says in message, message
    assert message.endswith("."), message
    assert help.endswith((".", "?")), help
    assert "Traceback" not in result.stderr


def leftovers(home: Path) -> list[Any]:
    running = processes.belonging_to([home], -1)
    return [*running, *(path for path in (home / "run", home / "addresses.json") if os.path.lexists(path))]


@pytest.mark.parametrize("which", ["--port", "--grpc-port", "--control-port"])
def test_a_port_that_is_taken_ends_the_start_with_a_sentence(tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(up(tmp_path / "home", which, port), port)
    assert not leftovers(tmp_path / "home")


def test_an_address_for_everybody_is_refused(tmp_path: Path) -> None:
    refused(up(tmp_path / "home", "--host", "0.0.0.0"), "0.0.0.0")
    assert not leftovers(tmp_path / "home")


def test_a_limit_that_is_no_number_is_refused(tmp_path: Path) -> None:
    for text in ("soon", "0", "-1", "nan", "1e9", "inf"):
        refused(up(tmp_path / "home", INFERRY_HEAD_TIMEOUT=text), "INFERRY_HEAD_TIMEOUT")


def test_a_home_in_use_is_refused_and_its_platform_goes_on(target: Target) -> None:
    refused(up(target.platform.home), "already")
    target.still_serves()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("mine")
    refused(up(tmp_path / "home"), "home")
    assert (tmp_path / "home").read_text() == "mine"


def test_a_home_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused(up(tmp_path / "file" / "home"), "home")


def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Not by mode, which root may ignore, but by a file system that is read-only."""
    home = Path("/proc/sys/inferry")
    result = up(home)
    refused(result, "inferry")
    assert not leftovers(tmp_path / "home")


# what is open to others


def test_every_socket_that_listens_is_loopback_or_private(target: Target) -> None:
    listening = processes.listening(target.platform.processes())
    assert {address for kind, address in listening if kind == "tcp"} == {
        url.removeprefix("http://") for url in (target.platform.http, target.platform.grpc, target.platform.control)
    }
    paths = [Path(address) for kind, address in listening if kind == "unix"]
    assert len(paths) >= 4, paths  # the gateway's, two zygotes', two replicas'
    for path in paths:
        assert path.is_absolute(), f"an abstract socket is open to all: {path}"
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700, path.parent
        assert path.parent.stat().st_uid == os.geteuid()


def test_every_file_of_the_home_is_private(target: Target) -> None:
    """All but what uv made in the environments, which lie in folders that nobody else may enter."""
    home = target.platform.home
    made = set((home / "envs").iterdir())
    walked = [home, *(path for path in home.rglob("*") if not made.intersection(path.parents))]
    walked += (home / "run").resolve().rglob("*")
    open_ones = [
        path for path in walked
        if not path.is_symlink() and "cache" not in path.relative_to(path.anchor).parts and loose(path)
    ]  # fmt: skip
    assert open_ones == []


def loose(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    kind = 0o600 if stat.S_ISREG(mode) else 0o700
    return stat.S_IMODE(mode) & ~kind != 0


def test_no_secret_is_in_a_log_or_a_command_line(target: Target) -> None:
    secrets = [key.encode() for key in target.keys.values()]
    for path in (target.platform.home / "logs").iterdir():
        text = path.read_bytes()
        assert not [key for key in secrets if key in text], path
    for pid in target.platform.processes():
        line = processes.command(pid).encode()
        assert not [key for key in secrets if key in line], line
