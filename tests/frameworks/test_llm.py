"""A real language model (SmolLM2-135M in GGUF), asked by the real openai client, by hand and by the command line."""

import json
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest

SCRIPT = Path(__file__).with_name("openai_says.py")
EMBEDDER = """
import numpy as np

class Embedder:
    batchable = True
    example = {"text": ["ab", "c"]}

    def predict(self, inputs):
        texts = list(inputs["text"])
        return {"embedding": np.array([[len(text), 0.5, -1.0] for text in texts], dtype=np.float32)}
"""


@pytest.fixture(scope="module")
def llm(platform, forge):
    return platform.deploy(forge.make("smollm2").artifact, "smol", timeout=500)


@pytest.fixture(scope="module")
def said(platform, forge, llm, tmp_path_factory):
    """All that the client was told, asked once."""
    source = tmp_path_factory.mktemp("embedder") / "model.py"
    source.write_text(EMBEDDER)
    platform.deploy(source, "embedder")
    python = forge.python(("openai>=1.40",))
    command = [str(python), str(SCRIPT), platform.http, platform.key, "smol", "embedder"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_the_model_is_told_from_its_file_alone(llm):
    assert llm["endpoint"] == "smol"


def test_a_chat_is_answered_whole_and_streamed_alike(said):
    assert "Paris" in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["chunks"] > 3
    assert (said["model"], said["object"], said["finish"]) == ("smol", "chat.completion", "stop")


def test_usage_is_told_when_it_is_asked_for(said):
    usage = said["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] > 10
    assert 3 < usage["completion_tokens"] <= 16
    assert [said["stream_usage"][key] for key in ("prompt_tokens", "completion_tokens")] == [
        usage[key] for key in ("prompt_tokens", "completion_tokens")
    ]
    assert said["without_usage"] == []


def test_what_a_request_asks_for_is_done(said):
    assert "Paris" not in said["stopped"]
    assert said["cut"] == "length"
    assert said["seeds"][0] == said["seeds"][1]
    assert list(said["shaped"]) == ["city"]
    assert said["logprobs"] == 3
    assert said["completion"].strip().startswith("5")
    assert said["completion_streamed"] == said["completion"]


def test_several_streams_are_answered_beside_each_other(said):
    assert all("Paris" in text for text in said["four"])
    assert said["overlap"]


def test_embeddings_come_from_any_model_that_makes_them(said):
    assert said["embedded"] == [[3, 2.0], [3, 1.0]]
    assert said["embedded_floats"] == [3.0, 0.5, -1.0]


def test_models_are_listed(said):
    assert {"smol", "embedder"} <= set(said["models"])
    assert said["one_model"] == "smol"


REFUSED = {
    "unknown": ["NotFoundError", 404, "model_not_found", "model"],
    "no_chat": ["BadRequestError", 400, "invalid_input", None],
    "no_embedding": ["BadRequestError", 400, "invalid_input", None],
    "two": ["BadRequestError", 400, "invalid_input", "n"],
    "long": ["BadRequestError", 400, "invalid_input", None],
    "wrong_key": ["AuthenticationError", 401, "invalid_api_key", None],
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_are_errors_that_the_client_knows(said, case):
    assert said[case] == REFUSED[case]


def stream(platform, tokens):
    body = {"model": "smol", "prompt": "Once upon a time", "max_tokens": tokens, "temperature": 1, "stream": True,
            "logit_bias": {"0": -100, "2": -100}}  # fmt: skip
    headers = {"authorization": f"Bearer {platform.key}"}
    return httpx.stream("POST", f"{platform.http}/v1/completions", json=body, headers=headers, timeout=60)


def in_flight(platform):
    text = platform.call("GET", "/metrics").text
    return float(re.search(r'inferry_requests_in_flight\{endpoint="smol"\} (\S+)', text)[1])


def test_a_client_that_leaves_frees_its_slot(platform, llm):
    leaving = [stream(platform, 6000) for _ in range(4)]  # as many as there are slots, each for about a minute
    answers = [one.__enter__() for one in leaving]
    for answer in answers:
        next(answer.iter_lines())
    for one in leaving:
        one.__exit__(None, None, None)
    started = time.monotonic()
    platform.predict("smol", "Say hello.", headers={"inferry-timeout": "15"})
    assert time.monotonic() - started < 15
    assert in_flight(platform) == 0


def test_events_end_as_openais_do(platform, llm):
    with stream(platform, 3) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    assert all(json.loads(line[6:])["model"] == "smol" for line in lines[:-1])


def test_what_it_reads_and_writes_is_counted(platform, said):
    text = platform.call("GET", "/metrics").text
    labels = r'\{endpoint="smol",model="smol:1",revision="1",door="openai-chat"\}'
    for name in ("inferry_prompt_tokens_total", "inferry_output_tokens_total", "inferry_first_part_seconds_count"):
        assert float(re.search(name + labels + r" (\S+)", text)[1]) > 3, name


def test_the_command_line_gives_a_text_for_a_text(platform, llm):
    answer = platform.run("predict", "smol", "-d", '"Say: Paris is the capital of France."')
    assert "Paris" in answer.stdout, answer


def weights(pid):
    """Of the mapped file: kilobytes that a process has in memory, and those that are its own."""
    blocks = re.findall(r"artifact\.gguf\n(.*?)VmFlags", Path(f"/proc/{pid}/smaps").read_text(), re.DOTALL)
    sizes = [dict(re.findall(r"^(\w+):\s+(\d+) kB", block, re.MULTILINE)) for block in blocks]
    return sum(int(one["Rss"]) for one in sizes), sum(int(one["Private_Dirty"]) for one in sizes)


def test_copies_share_the_weights(platform, llm):
    platform.cli("scale", "smol", "2")
    for _ in range(8):
        platform.predict("smol", "Say hello.")
    mapped = [weights(pid) for pid in platform.replica_pids()]
    platform.cli("scale", "smol", "1")
    mapped = [one for one in mapped if one[0] > 10_000]  # other tests have small files
    assert len(mapped) == 2, mapped
    assert all(resident > 50_000 and own == 0 for resident, own in mapped), mapped


def test_the_engine_is_told_how_to_run(platform, forge, tmp_path):
    template = tmp_path / "plain.jinja"
    template.write_text("{% for one in messages %}{{ one['content'] }}{% endfor %}")
    told = ["--option", "context=256", "--option", "slots=1", "--option", f"chat_template=@{template}"]
    platform.deploy(forge.make("smollm2").artifact, "engine-told", *told)
    ask = {
        "model": "engine-told",
        "max_tokens": 6,
        "temperature": 0,
        "messages": [{"role": "user", "content": "1, 2, 3, 4,"}],
    }
    answer = platform.call("POST", "/v1/chat/completions", json=ask).json()
    assert answer["choices"][0]["message"]["content"].strip().startswith("5")
    ask["messages"][0]["content"] = "word " * 300
    assert platform.call("POST", "/v1/chat/completions", json=ask).status_code == 400
    more = platform.run("deploy", str(forge.make("smollm2").artifact), "--name", "more", "--option", "context=999999")
    assert re.search(r"A context of 999999 tokens is more than the \d+ that the model was trained for", more.stderr)


def test_a_file_with_false_offsets_leaves_nothing_behind(platform, forge, tmp_path):
    whole = forge.make("smollm2").artifact.read_bytes()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(whole[: len(whole) // 2])
    before = platform.processes()
    result = platform.run("deploy", str(bad), "--name", "bad")
    assert result.returncode == 1
    assert re.search(
        r"The GGUF file puts the tensor '.*' at bytes \d+ to \d+ of its data, which has \d+", result.stderr
    )
    assert platform.call("GET", "/endpoints/bad").status_code == 404
    assert platform.processes() <= before
