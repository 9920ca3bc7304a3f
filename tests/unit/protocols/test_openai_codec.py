"""OpenAI's doors: what is read of a body, what is refused and in which words, how answers are written."""

import base64
import json

import numpy as np
import pytest

from inferry.errors import InvalidInput, NotFound, Overloaded, Unauthorized
from inferry.protocols.forms import openai_error
from inferry.protocols.openai import EmbeddingsCodec, WritingCodec
from inferry.types.frames import DOOR_CHAT, DOOR_COMPLETIONS, INFER, Request
from inferry.types.signature import Signature, TensorSpec

OPEN = Signature(kind="open")
EMBEDDER = Signature(
    kind="tensors",
    inputs=(TensorSpec(name="text", datatype="BYTES", shape=(-1, 1)),),
    outputs=(TensorSpec(name="embedding", datatype="FP32", shape=(-1, 2)),),
)
HELLO = [{"role": "user", "content": "Hello"}]
CHAT = WritingCodec(DOOR_CHAT, OPEN, "text-generation")
COMPLETIONS = WritingCodec(DOOR_COMPLETIONS, OPEN, "text-generation")


def request(body, door=DOOR_CHAT):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(1, INFER, door, 0, 0, 0, "smol", "", raw)


def refusal(codec, body):
    with pytest.raises(InvalidInput) as caught:
        codec.decode(request(body))
    return json.loads(codec.refuse(caught.value))["error"]


def test_a_chat_is_passed_on_as_it_is_but_for_what_changes_nothing():
    body = {"model": "other", "messages": HELLO, "user": "me", "max_completion_tokens": 5, "seed": -1, "stop": None}
    call = CHAT.decode(request(body))
    assert call.inputs == {"model": "smol", "messages": HELLO, "max_tokens": 5, "seed": (1 << 32) - 1}


def test_a_lone_prompt_in_a_list_is_a_prompt():
    assert COMPLETIONS.decode(request({"prompt": ["a"]})).inputs == {"prompt": "a", "model": "smol"}


BAD = {
    "no json": (b"{", "The body is not JSON", None),
    "a list": ([], "The body is not a JSON object.", None),
    "no messages": ({}, "'messages' must be a list of objects with a 'role' and a 'content'.", "messages"),
    "empty messages": ({"messages": []}, "'messages' must be", "messages"),
    "messages of text": ({"messages": "hello"}, "'messages' must be", "messages"),
    "a message without a role": ({"messages": [{"content": "x"}]}, "'messages' must be", "messages"),
    "a number as content": ({"messages": [{"role": "user", "content": 3}]}, "'messages' must be", "messages"),
    "two answers": ({"messages": HELLO, "n": 2}, "'n' must be 1", "n"),
    "true for one": ({"messages": HELLO, "n": True}, "'n' must be 1", "n"),
    "a hot temperature": ({"messages": HELLO, "temperature": 3}, "'temperature' must be a number from 0 to 2.", "temperature"),
    "no tokens": ({"messages": HELLO, "max_tokens": 0}, "'max_tokens' must be a whole number from 1", "max_tokens"),
    "endless tokens": ({"messages": HELLO, "max_tokens": -1}, "'max_tokens' must be a whole number from 1", "max_tokens"),
    "stop of numbers": ({"messages": HELLO, "stop": [1]}, "'stop' must be a text or a list of up to 16.", "stop"),
    "stream of text": ({"messages": HELLO, "stream": "yes"}, "'stream' must be true or false.", "stream"),
    "an unknown format": ({"messages": HELLO, "response_format": {"type": "xml"}}, "'response_format' must be", "response_format"),
    "a schema that is none": ({"messages": HELLO, "response_format": {"type": "json_schema"}}, "'response_format' must be", "response_format"),
    "an engine's own field": ({"messages": HELLO, "id_slot": 0}, "Unrecognized request argument: 'id_slot'.", "id_slot"),
    "an unknown field": ({"messages": HELLO, "tempertaure": 1}, "Unrecognized request argument: 'tempertaure'.", "tempertaure"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_bodies_are_refused_with_the_field_at_fault(case):
    body, words, param = BAD[case]
    error = refusal(CHAT, body)
    assert error["message"].startswith(words)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_prompts_of_tokens_or_several_are_refused():
    assert refusal(COMPLETIONS, {"prompt": ["a", "b"]})["param"] == "prompt"
    assert refusal(COMPLETIONS, {"prompt": [1, 2]})["param"] == "prompt"


@pytest.mark.parametrize(("signature", "task"), [(EMBEDDER, "text-generation"), (OPEN, "")])
def test_a_model_that_writes_no_text_says_so(signature, task):
    error = refusal(WritingCodec(DOOR_CHAT, signature, task), {"messages": HELLO})
    assert error["message"].startswith("The model 'smol' is not a language model")


def test_answers_carry_the_endpoints_name():
    call = CHAT.decode(request({"messages": HELLO}))
    assert json.loads(CHAT.encode(call, {"id": "x", "model": "/a/file.gguf"}).body) == {"id": "x", "model": "smol"}


def test_embeddings_are_numbers_or_base64():
    codec = EmbeddingsCodec(EMBEDDER)
    call = codec.decode(request({"input": ["a", "b"]}))
    assert call.inputs["text"].tolist() == [["a"], ["b"]]
    outputs = {"embedding": np.array([[1.0, 2.0], [0.5, -1.0]])}
    answer = json.loads(codec.encode(call, outputs).body)
    assert [one["embedding"] for one in answer["data"]] == [[1.0, 2.0], [0.5, -1.0]]
    assert [one["index"] for one in answer["data"]] == [0, 1]
    call = codec.decode(request({"input": "a", "encoding_format": "base64"}))
    packed = json.loads(codec.encode(call, {"embedding": outputs["embedding"][:1]}).body)["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(packed), "<f4").tolist() == [1.0, 2.0]


BAD_EMBEDDINGS = {
    "nothing": ({}, "input"),
    "an empty list": ({"input": []}, "input"),
    "tokens": ({"input": [1, 2]}, "input"),
    "an unknown format": ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    "fewer dimensions": ({"input": "a", "dimensions": 8}, "dimensions"),
}


@pytest.mark.parametrize("case", BAD_EMBEDDINGS)
def test_bad_embedding_bodies_are_refused(case):
    body, param = BAD_EMBEDDINGS[case]
    assert refusal(EmbeddingsCodec(EMBEDDER), body)["param"] == param


def test_the_usage_of_embeddings_counts_the_tokenizers_tokens():
    codec = EmbeddingsCodec(EMBEDDER, lambda texts: [len(text.split()) for text in texts])
    call = codec.decode(request({"input": ["a b c", "d"]}))
    answer = json.loads(codec.encode(call, {"embedding": np.zeros((2, 2))}).body)
    assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2], [3]]])
def test_numbers_of_tokens_are_refused_as_no_texts(tokens):
    error = refusal(EmbeddingsCodec(EMBEDDER), {"input": tokens})
    assert (error["param"], "numbers of tokens mean nothing" in error["message"]) == ("input", True)


def test_a_model_of_other_inputs_makes_no_embeddings():
    assert "makes no embeddings of texts" in refusal(EmbeddingsCodec(OPEN), {"input": "a"})["message"]


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (Unauthorized("No key."), "invalid_request_error", "invalid_api_key"),
        (NotFound("No.", endpoint="x"), "invalid_request_error", "model_not_found"),
        (Overloaded("Full."), "rate_limit_error", "overloaded"),
    ],
)
def test_errors_have_openais_form(error, kind, code):
    told = json.loads(openai_error(error))["error"]
    assert (told["type"], told["code"]) == (kind, code)
    assert set(told) == {"message", "type", "param", "code"}
