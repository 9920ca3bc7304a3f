"""A transformers language model (a tiny Llama taught four dialogues), asked by the real openai client and by hand."""

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from inferry.bundles.requirements import script_requirements
from tests.support import processes
from tests.support.forge import SCRIPTS

SCRIPT = Path(__file__).with_name("openai_writes.py")


@pytest.fixture(scope="module")
def known(forge):
    return json.loads((forge.make("hf_chat").folder / "said.json").read_text())


@pytest.fixture(scope="module")
def writer(platform, forge):
    return platform.deploy(forge.make("hf_chat").artifact, "writer", timeout=500)


@pytest.fixture(scope="module")
def told(platform, forge, writer):
    python = forge.python(("openai>=1.40",))
    command = [str(python), str(SCRIPT), platform.http, platform.key, "writer"]
    command.append(str(forge.make("hf_chat").folder / "said.json"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_chats_are_answered_as_transformers_does(told, known):
    assert told["whole"] == known
    assert told["head"] == ["writer", "chat.completion", "stop", "assistant"]
    assert told["parts"] == known["Where?"]["answer"]


def test_streams_say_the_same_in_pieces(told, known):
    assert told["streamed"] == known["Count."]["answer"]
    assert told["smileys"] == known["Grüße?"]["answer"]
    assert (told["chunks"] > 20, told["roles"]) == (True, "assistant")
    assert told["usage"] == known["Count."]["prompt_tokens"] + known["Count."]["completion_tokens"]


def test_what_a_request_asks_for_is_done(told, known):
    assert told["stopped"] == "one two three "
    assert told["cut"] == ["length", 3]
    assert told["seeds"][0] == told["seeds"][1] != told["seeds"][2]
    assert told["narrow"] == known["Count."]["answer"]
    assert told["logprobs"] == [[True, 3]] * (known["Where?"]["completion_tokens"] - 1)


def test_a_prompt_is_gone_on_with(told, known):
    assert (told["completion"], told["completion_object"]) == (known["Where?"]["answer"], "text_completion")
    assert told["completion_streamed"] == told["completion"]


def test_many_at_once_get_what_each_would_get_alone(told, known):
    assert told["twelve"] == [one["answer"] for one in known.values()] * 3


REFUSED = {
    "unknown": ["NotFoundError", 404, "model_not_found", "model"],
    **{
        case: ["BadRequestError", 400, "invalid_input", field]
        for case, field in {
            "template": "messages", "picture": "messages", "long": "messages", "long prompt": "prompt",
            "empty prompt": "prompt", "two": "n", "none": "n", "cold": "temperature", "no tokens": "max_tokens",
            "json": "response_format", "tools": "tools", "bias": "logit_bias",
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_in_openais_form(told, case):
    assert told["refused"][case] == REFUSED[case]


def test_it_goes_on_after_all_refusals(told, known):
    assert told["after"] == known["Where?"]["answer"]


def test_tensors_are_answered_beside_chats(platform, writer):
    (answer,) = platform.predict("writer", {"text": "user: Where?<|end|>assistant: "})["predictions"]
    assert answer["generated_text"] == "Paris is the capital of France."


def test_clients_that_leave_free_their_slots(platform, writer, known):
    body = {"model": "writer", "prompt": "user: Count.<|end|>assistant: ", "stream": True, "logit_bias": {"0": -100}}
    headers = {"authorization": f"Bearer {platform.key}"}
    for _ in range(16):  # twice as many as there are slots, each up to the end of the context
        with httpx.stream("POST", f"{platform.http}/v1/completions", json=body, headers=headers, timeout=60) as answer:
            next(answer.iter_lines())

    def free():
        text = platform.call("GET", "/metrics").text
        return float(re.search(r'inferry_requests_in_flight\{endpoint="writer"\} (\S+)', text)[1]) == 0

    processes.wait_until(free, 30, "no request is under way")
    assert platform.predict("writer", {"text": "user: Where?<|end|>assistant: "})


def test_tokens_and_the_time_to_the_first_are_metrics(platform, told):
    text = platform.call("GET", "/metrics").text
    labels = r'\{endpoint="writer",model="writer:1",revision="1",door="openai-chat"\}'
    for name in ("inferry_prompt_tokens_total", "inferry_output_tokens_total", "inferry_first_part_seconds_count"):
        assert float(re.search(name + labels + r" (\S+)", text)[1]) >= 2, name


def test_an_engine_is_told_how_to_run(platform, forge, known, tmp_path):
    template = tmp_path / "other.jinja"
    template.write_text("{% for one in messages %}user: {{ one.content + eos_token }}{% endfor %}assistant: ")
    told = ["context=64", "slots=2", "batch=1", f"chat_template=@{template}"]
    words = [word for option in told for word in ("--option", option)]
    platform.deploy(forge.make("hf_chat").artifact, "told", *words)
    ask = {"model": "told", "temperature": 0, "messages": [{"role": "system", "content": "Where?"}]}
    answer = platform.call("POST", "/v1/chat/completions", json=ask).json()
    assert answer["choices"][0]["message"]["content"] == known["Where?"]["answer"]
    ask["messages"][0]["content"] = "Where? " * 20
    refused = platform.call("POST", "/v1/chat/completions", json=ask)
    assert (refused.status_code, "the model takes 64 with its answer" in refused.text) == (400, True)
    assert "batch=1, chat_template=" in platform.run("describe", "told").stdout
    template.write_text("{% for %}")
    platform.deploy(forge.make("hf_chat").artifact, "told", *words, "--option", "batch=")
    refused = platform.call("POST", "/v1/chat/completions", json=ask)
    assert (refused.status_code, "The model's chat template refuses" in refused.text) == (400, True)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("context=257", "A context of 257 tokens is more than the 256 that the model was trained for."),
        ("context=99999999999", "it is a whole number from 64 to 16777216"),
        ("slots=0", "it is a whole number from 1 to 64"),
        ("depth=3", "has no option 'depth'"),
    ],
)
def test_an_absurd_option_is_refused_and_leaves_nothing(platform, forge, option, says):
    refused = platform.run("deploy", str(forge.make("hf_chat").artifact), "--name", "absurd", "--option", option)
    assert (refused.returncode, says in refused.stderr) == (1, True), refused.stderr
    assert platform.call("GET", "/v1/endpoints/absurd", control=True).status_code == 404


def test_a_batch_says_what_each_says_alone_and_is_left_by_whom_nobody_hears(forge):
    python = forge.python(script_requirements((SCRIPTS / "hf_together.py").read_bytes()))
    forge.run(python, SCRIPTS / "hf_together.py", forge.make("hf_chat").folder)
