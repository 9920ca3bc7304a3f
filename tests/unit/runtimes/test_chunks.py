"""Chunks: a streamed answer gathered is the answer that is not streamed."""

from inferry.runtimes.chunks import Gathered, shown, text_of


def chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return {"id": "1", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": [choice]}


USAGE = {"id": "1", "object": "chat.completion.chunk", "choices": [], "timings": {}, "usage": {
    "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}  # fmt: skip


def gathered(*chunks):
    made = Gathered()
    for one in chunks:
        made.add(one)
    return made


def test_a_chat_is_put_together():
    parts = (chunk({"role": "assistant", "content": None}), chunk({"content": "Pa"}, logprobs={"content": [1]}),
             chunk({"content": "ris"}, logprobs={"content": [2]}), chunk({}, "stop"), USAGE)  # fmt: skip
    made = gathered(*parts)
    assert made.tokens == (3, 2)
    assert made.whole() == {
        "id": "1", "created": 5, "model": "m", "object": "chat.completion", "usage": USAGE["usage"],
        "choices": [{
            "index": 0, "finish_reason": "stop", "logprobs": {"content": [1, 2]},
            "message": {"role": "assistant", "content": "Paris"},
        }],
    }  # fmt: skip
    assert text_of(made.whole()) == "Paris"
    assert text_of(parts[1]) == "Pa"


def test_calls_of_tools_are_put_together_by_their_index():
    def call(at, **function):
        return chunk(
            {"tool_calls": [{"index": at, "function": function, **({"id": f"c{at}"} if "name" in function else {})}]}
        )

    whole = gathered(
        call(0, name="f", arguments=""),
        call(0, arguments="{"),
        call(0, arguments="}"),
        call(1, name="g", arguments="[]"),
    ).whole()
    assert whole["choices"][0]["message"]["tool_calls"] == [
        {"type": "function", "id": "c0", "function": {"name": "f", "arguments": "{}"}},
        {"type": "function", "id": "c1", "function": {"name": "g", "arguments": "[]"}},
    ]


def test_a_completion_is_put_together():
    parts = [{"object": "text_completion", "choices": [{"text": text, "index": 0}]} for text in ("a", "b")]
    assert gathered(*parts).whole()["choices"][0]["text"] == "ab"


def test_a_usage_is_shown_only_to_who_asked_for_it():
    assert shown(USAGE, usage=False) is None
    assert "usage" in shown(USAGE, usage=True)
    assert "timings" not in shown(USAGE, usage=True)
