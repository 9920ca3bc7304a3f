"""vLLM as a supervised engine, through a real platform: a stand-in for its command, and for the GPU's driver."""

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.support import fake_nvml, fake_vllm, processes
from tests.support.platform import CommandFailed

HEADER = b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "transformers_version": "4.57.1"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """What makes a platform see a GPU, and find a vLLM to install."""
    root = tmp_path_factory.mktemp("vllm")
    driver = fake_nvml.write(root / "driver")
    path = os.pathsep.join(filter(None, (str(driver), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "PIP_FIND_LINKS": str(fake_vllm.write(root / "wheels"))}


@pytest.fixture
def platform(start_platform, environment):
    return start_platform(env=environment)


def folder(tmp_path, name="lm", **how):
    made = tmp_path / name
    made.mkdir()
    (made / "config.json").write_text(json.dumps(CONFIG))
    (made / "model.safetensors").write_bytes(len(HEADER).to_bytes(8, "little") + HEADER + bytes(16))
    (made / "tokenizer.json").write_text("{}")
    (made / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    (made / "fake_vllm.json").write_text(json.dumps(how))
    return made


def ask(platform, text, **more):
    body = {"model": "lm", "messages": [{"role": "user", "content": text}], **more}
    return platform.call("POST", "/v1/chat/completions", json=body)


def stream(platform, text):
    body = {"model": "lm", "messages": [{"role": "user", "content": text}], "stream": True}
    headers = {"authorization": f"Bearer {platform.key}"}
    return httpx.stream("POST", f"{platform.http}/v1/chat/completions", json=body, headers=headers, timeout=60)


def log(platform):
    return "\n".join(platform.cli("logs", "lm", "-n", "500")["lines"])


def says(platform, pattern, seconds=20):
    processes.wait_until(lambda: bool(re.search(pattern, log(platform))), seconds, f"the log says {pattern}")
    return re.search(pattern, log(platform))


def test_a_folder_is_served_by_vllm_where_there_is_a_gpu(platform, tmp_path):
    template = tmp_path / "own.jinja"
    template.write_text("{{ messages[0] }}")
    made = platform.deploy(
        folder(tmp_path, slow_s=1), "lm", "--gpus", "0.5", "--option", "context=2048", "--option", "slots=3",
        "--option", f"chat_template=@{template}",
    )  # fmt: skip
    assert made["runtime"] == "vllm"
    told = json.loads(says(platform, r"told (\{.*\})")[1])
    assert told["max_model_len"] == "2048"
    assert told["max_num_seqs"] == "3"
    assert told["gpu_memory_utilization"] == "0.5"
    says(platform, r"sees GPU-aaaa")
    says(platform, r"template \{\{ messages\[0\] \}\}")

    answer = ask(platform, "how are you", temperature=0.5, repeat_penalty=1.1).json()
    assert answer["choices"][0]["message"]["content"] == "echo: how are you "
    assert (answer["model"], answer["choices"][0]["finish_reason"]) == ("lm", "stop")
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    passed = json.loads(says(platform, r'asked /v1/chat/completions (\{.*"how are you".*\})')[1])
    assert (passed["model"], passed["temperature"], passed["repetition_penalty"]) == ("model", 0.5, 1.1)
    with stream(platform, "and you") as answer:
        lines = [line[6:] for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    parts = [json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1]]
    assert parts == ["", "echo: ", "and ", "you ", ""]
    body = {"model": "lm", "prompt": "go on"}
    assert platform.call("POST", "/v1/completions", json=body).json()["choices"][0]["text"] == "echo: go on "
    assert platform.predict("lm", "a text")["predictions"] == "echo: a text "

    refused = ask(platform, "refuse")
    assert (refused.status_code, refused.json()["error"]["message"][:23]) == (400, "max_tokens is too large")
    assert ask(platform, "hello", temperature=-1).json()["error"]["param"] == "temperature"
    assert "options" in platform.run("describe", "lm").stdout
    again = platform.deploy(tmp_path / "lm", "lm")
    assert again["unchanged"]


def test_clients_that_leave_end_their_requests_at_the_engine(platform, tmp_path):
    platform.deploy(folder(tmp_path), "lm")
    with stream(platform, "long") as answer:
        next(answer.iter_lines())
    says(platform, "left at long")
    with contextlib.suppress(httpx.TimeoutException):
        platform.call("POST", "/v1/chat/completions", timeout=1, json={
            "model": "lm", "messages": [{"role": "user", "content": "wait"}],
        })  # fmt: skip
    says(platform, "left while it waited")


def test_an_engine_that_ends_in_an_answer_is_a_replica_that_ends_and_is_started_again(platform, tmp_path):
    platform.deploy(folder(tmp_path), "lm")
    (pid,) = platform.replica_pids()
    with stream(platform, "die") as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert any("error" in line for line in lines), lines
    assert "data: [DONE]" not in lines
    says(platform, r"vLLM ended \(exit code 3\), and this replica with it")

    def back():
        answer = ask(platform, "again")
        return answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"] == "echo: again "

    processes.wait_until(back, 60, "another replica answers")
    assert platform.replica_pids() != [pid]


def alive(text):
    return [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if text in _read(path)]


def _read(path):
    with contextlib.suppress(OSError):
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def test_nothing_of_the_engine_outlives_its_replica(platform, tmp_path):
    platform.deploy(folder(tmp_path), "lm")
    says(platform, "engine")
    bundle = "vllm serve " + str(platform.home)
    assert len(alive(bundle)) == 2  # the server, and an engine of its own
    (pid,) = platform.replica_pids()
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and ask(platform, "again").status_code != 200:
        time.sleep(0.2)
    assert len(alive(bundle)) == 2
    platform.cli("delete", "lm", "--yes")
    processes.wait_until(lambda: not alive(bundle), 20, "nothing of the engine is left")


def test_an_engine_that_does_not_start_is_told_and_leaves_nothing(platform, tmp_path):
    with pytest.raises(CommandFailed) as refusal:
        platform.deploy(folder(tmp_path, crash="CUDA out of memory"), "lm")
    assert "vLLM ended while it started (exit code 1)" in refusal.value.stdout
    assert platform.cli("models")["models"] == []
    assert platform.replica_pids() == []
    with pytest.raises(CommandFailed, match=r"The runtime vllm has no option 'depth'.*"):
        platform.deploy(tmp_path / "lm", "lm", "--option", "depth=1")


def test_without_a_gpu_the_engine_is_refused(platform, tmp_path):
    with pytest.raises(CommandFailed) as refusal:
        platform.deploy(folder(tmp_path), "lm", "--device", "cpu", "--option", "engine=vllm")
    assert "The engine vllm computes on GPUs only." in refusal.value.stdout
