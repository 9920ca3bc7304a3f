"""How commands end: exit codes, errors, wrong usage, Ctrl-C, pipes; and what they import."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from inferry.cli.main import COMMANDS
from inferry.errors import PortTaken
from tests.support.fake_platform import Canned

MISSING = Canned(404, {"error": {"code": "not_found", "message": "No such.", "help": "Look."}}, {"x-request-id": "r-7"})


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"], ["versions", "m"], ["endpoints"], ["describe", "m"], ["describe", "m:1"], ["rollback", "m"],
        ["scale", "m", "2"], ["logs", "m"], ["delete", "m", "-y"], ["delete", "m:1", "-y"], ["keys", "list"],
        ["keys", "create", "m"], ["keys", "revoke", "m"], ["doctor"], ["status"],
    ],
)  # fmt: skip
def test_a_refusal_is_a_sentence_and_exit_code_1(fake, inferry, arguments):
    fake.next_answers = [MISSING]
    done = inferry(*arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: No such.\nhelp: Look.\nrequest: r-7\n"
    fake.next_answers = [MISSING]
    done = inferry(*arguments, "--json")
    assert (done.code, done.err) == (1, "")
    assert done.json == {"error": {"code": "not_found", "message": "No such.", "help": "Look.", "request_id": "r-7"}}


def test_a_refused_prediction_is_one_too(inferry):
    done = inferry("predict", "nobody", "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "not_found")
    said = inferry("predict", "echo", "-d", '"boom"').err
    assert said == "error: The model raised ValueError.\nhelp: Its log has the details: inferry logs NAME.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command"),
        (["models", "--nonsense"], "No such option"),
        (["models", "extra"], "unexpected extra argument"),
        (["deploy"], "Missing argument"),
        (["deploy", "a.onnx", "--replicas", "0"], "--replicas"),
        (["deploy", "a.onnx", "--timeout", "0"], "--timeout"),
        (["scale", "fraud"], "Give a number of replicas"),
        (["scale", "fraud", "many"], "not a valid integer"),
        (["up", "--port", "70000"], "--port"),
        (["keys", "create", "a", "--role", "king"], "king"),
        (["keys", "create", "a", "--expires", "soon"], "is not a duration"),
        (["delete", "fraud:1", "--model"], "without a version"),
        (["keys", "nonsense"], "No such command"),
    ],
)
def test_wrong_usage_is_exit_code_2(inferry, arguments, said):
    done = inferry(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    done = inferry(*arguments, "--json")
    assert done.code == 2
    assert done.json["error"]["code"] == "wrong_usage"


@pytest.mark.parametrize("arguments", [["describe", "No Good"], ["describe", "fraud:x"], ["keys", "create", "Ä"]])
def test_a_bad_name_is_refused_here(fake, inferry, arguments):
    done = inferry(*arguments, "--json")
    assert done.code == 1
    assert done.json["error"]["code"] == "invalid_name"
    assert fake.requests == []


def test_no_platform_is_said_plainly(start, monkeypatch):
    monkeypatch.setenv("INFERRY_URL", "http://127.0.0.1:9")
    process = start("models")
    out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert err == "error: Nothing answers at http://127.0.0.1:9.\nhelp: Is `inferry up` running?\n"


def test_ctrl_c_is_quiet(fake, start):
    fake.next_answers = [Canned(200, {"models": []}, after=5)]
    process = start("models")
    while not fake.requests:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err.strip()) == (130, "", "")


def test_a_closed_pipe_is_quiet(start, fake):
    fake.next_answers = [Canned(200, {"lines": ["x" * 100] * 20_000})]
    process = start("logs", "fraud")
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(10) == 1
    process.stderr.close()


def test_a_terminal_is_asked_before_deleting(fake, inferry, monkeypatch):
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(isatty=lambda: True))
    answers = iter([False, True])
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "y" if next(answers) else "n")
    assert inferry("delete", "fraud").code == 130
    assert fake.requests == []
    assert inferry("delete", "fraud").code == 0


# -- up and serve hand over to compose


@pytest.fixture
def composed(monkeypatch):
    """Stands in for the modules that start processes."""
    calls = []

    def fake_run(name, code):
        def run(*arguments):
            calls.append((name, arguments))
            if isinstance(code, Exception):
                raise code
            return code

        monkeypatch.setitem(sys.modules, f"inferry.compose.{name}", types.SimpleNamespace(run=run))

    fake_run.calls = calls
    return fake_run


def test_up_hands_its_settings_over(composed, inferry, tmp_path):
    composed("up", 0)
    assert inferry("up").code == 0
    ports = ["--port", "0", "--grpc-port", "2", "--control-port", "1"]
    assert (
        inferry("up", "--home", "h", *ports, "--ready-file", "r", "--standbys", "1", "--gateways", "3", "--json").code
        == 0
    )
    assert composed.calls == [
        ("up", (tmp_path / "home", "127.0.0.1", 8000, 8001, 8080, "", 0, "", None, False, "", "", "", 1)),
        ("up", (Path("h"), "127.0.0.1", 0, 2, 1, "", 1, "", Path("r"), True, "", "", "", 3)),
    ]


def test_serve_hands_its_settings_over(composed, inferry, monkeypatch, tmp_path):
    composed("serve", 0)
    monkeypatch.delenv("INFERRY_API_KEY")
    inferry("serve", "m.onnx")
    inferry(
        "serve",
        "m.onnx",
        "--name",
        "n",
        "--sample",
        "s",
        "--port",
        "1",
        "--grpc-port",
        "2",
        "--key",
        "k",
        "--ready-file",
        "r",
    )
    assert composed.calls == [
        ("serve", (Path("m.onnx"), None, None, "127.0.0.1", 8000, 8001, None, None, tmp_path / "home", "auto")),
        ("serve", (Path("m.onnx"), "n", Path("s"), "127.0.0.1", 1, 2, "k", Path("r"), tmp_path / "home", "auto")),
    ]


def test_the_exit_code_of_a_process_is_passed_on(composed, inferry):
    composed("up", 1)
    assert inferry("up").code == 1
    composed("up", PortTaken("The port 8000 is in use.", help="Choose another with --port."))
    done = inferry("up")
    assert (done.code, done.err) == (1, "error: The port 8000 is in use.\nhelp: Choose another with --port.\n")


# -- help and imports


@pytest.mark.parametrize(
    "command",
    [
        *([name] for name in COMMANDS),
        *(["keys", name] for name in ("create", "list", "revoke")),
        *(["versions", name] for name in ("list", "protect", "unprotect", "prune", "retention")),
        *(["scale", name] for name in ("to", "explain")),
        *(["alias", name] for name in ("set", "list", "delete")),
        *(
            ["webhooks", name]
            for name in ("add", "list", "remove", "on", "off", "rotate", "test", "deliveries", "redeliver")
        ),
        *(["jobs", name] for name in ("submit", "list", "show", "result", "cancel", "retry")),
        *(["experiment", name] for name in ("start", "status", "report", "list", "stop")),
        *(["rollout", name] for name in ("start", "status", "history", "list", "watch", "pause", "abort")),
    ],
)
def test_every_command_has_help_and_json(inferry, command):
    said = inferry(*command, "--help").out
    assert "Usage: inferry" in said
    if command not in (
        ["serve"],
        ["keys"],
        ["rollout"],
        ["versions"],
        ["alias"],
        ["experiment"],
        ["pipeline"],
        ["webhooks"],
        ["scale"],
        ["jobs"],
        ["mlflow"],
        ["gitops"],
    ):
        assert "--json" in said
    if command not in (["keys"], ["keys", "list"], ["keys", "revoke"]):
        assert "Example" in said


def test_help_lists_every_command(inferry):
    said = inferry("--help").out
    assert [line.split()[0] for line in said.split("Commands:\n")[1].splitlines()] == list(COMMANDS)
    assert "..." not in said.split("Commands:\n")[1]


def test_no_arguments_is_help(inferry):
    done = inferry()
    assert done.code == 2
    assert "Commands:" in done.err


HEAVY = (
    "numpy",
    "pandas",
    "sqlalchemy",
    "alembic",
    "onnxruntime",
    "httpx",
    "rich",
    "anyio",
    "asyncio",
    "uvicorn",
    "starlette",
)


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("from inferry.cli.main import run; run(['--help'])", HEAVY),
        ("from inferry.cli.main import run; run(['deploy', '--help'])", HEAVY),
        ("import inferry", (*HEAVY, "click", "msgspec")),
        ("import inferry; inferry.connect, inferry.Client, inferry.InferryError", HEAVY),
    ],
)
def test_starting_is_cheap(statement, heavy):
    """At most twelve times the CPU of a bare interpreter, measured by turns; the best of a few, since machines are shared."""
    bare, best = 9.0, 9.0
    for _ in range(30):
        bare = min(bare, json.loads(told_by("")[-1])[0])
        spent, loaded = json.loads(told_by(statement, heavy)[-1])
        assert loaded == []
        best = min(best, spent)
        if best < 12 * bare:
            break
    assert best < 12 * bare


def told_by(statement, heavy=()):
    code = (
        f"{statement}\nimport json, sys, time\n"
        f"print(json.dumps([time.process_time(), sorted(set({heavy!r}) & set(sys.modules))]))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
