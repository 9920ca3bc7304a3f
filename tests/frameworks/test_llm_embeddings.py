"""A GGUF file of a small BERT makes the embeddings that transformers makes, at OpenAI's door and all others."""

import base64
import json

import numpy as np
import pytest

from tests.support.forge import served


@pytest.fixture(scope="module")
def forged(platform, forge):
    made = forge.make("gguf_embedding")
    platform.deploy(made.artifact, "encoder")
    return made


def embed(platform, texts, **more):
    return platform.call("POST", "/v1/embeddings", json={"model": "encoder", "input": texts} | more)


def test_embeddings_are_those_of_transformers(platform, forged):
    served(platform, "encoder", forged, rtol=0.01, atol=2e-3)


def test_openais_door_gives_the_same_with_the_tokens_read(platform, forged):
    texts = forged.arrays("inputs")["text"].tolist()
    answer = embed(platform, texts, encoding_format="base64").json()
    rows = [np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in answer["data"]]
    np.testing.assert_allclose(rows, forged.arrays("expected")["embedding"], rtol=0.01, atol=2e-3)
    sizes = json.loads((forged.folder / "tokens.json").read_text())
    assert answer["usage"] == {"prompt_tokens": sum(sizes), "total_tokens": sum(sizes)}
    assert embed(platform, texts[0]).json()["usage"]["prompt_tokens"] == sizes[0]
    counted = platform.call("GET", "/metrics").text
    assert 'inferry_prompt_tokens_total{endpoint="encoder",model="encoder:1",revision="1",door="openai-emb' in counted


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ("good " * 100, "A text is longer than the model reads"),
        ([[1, 2]], "numbers of tokens mean nothing"),
        ([], "a text or"),
    ],
)
def test_what_does_not_fit_is_refused(platform, forged, texts, says):
    refused = embed(platform, texts)
    assert (refused.status_code, says in refused.json()["error"]["message"]) == (400, True), refused.text
    assert embed(platform, "good").status_code == 200
    chat = {"model": "encoder", "messages": [{"role": "user", "content": "x"}]}
    assert platform.call("POST", "/v1/chat/completions", json=chat).status_code == 400
