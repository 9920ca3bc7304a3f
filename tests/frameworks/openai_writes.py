"""What the real openai client gets of a transformers model, as one JSON document. URL KEY MODEL SAID"""

import concurrent.futures
import json
import sys
from pathlib import Path

import openai

URL, KEY, MODEL, SAID = sys.argv[1:]
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
known = json.loads(Path(SAID).read_text())
told = {}


def chat(question="Where?", **options):
    messages = options.pop("messages", [{"role": "user", "content": question}])
    return client.chat.completions.create(model=MODEL, messages=messages, **({"temperature": 0} | options))


def text(answer):
    return answer.choices[0].message.content


def joined(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def refused(ask):
    try:
        ask()
    except openai.APIStatusError as error:
        return type(error).__name__, error.status_code, error.code, error.param
    return "answered"


told["whole"] = {}
for question in known:
    answer = chat(question)
    told["whole"][question] = {
        "answer": text(answer),
        "prompt_tokens": answer.usage.prompt_tokens,
        "completion_tokens": answer.usage.completion_tokens,
    }
told["head"] = [answer.model, answer.object, answer.choices[0].finish_reason, answer.choices[0].message.role]
chunks = list(chat("Count.", stream=True, stream_options={"include_usage": True}))
told["streamed"], told["chunks"], told["roles"] = joined(chunks), len(chunks), chunks[0].choices[0].delta.role
told["usage"] = chunks[-1].usage.total_tokens
told["smileys"] = joined(chat("Grüße?", stream=True))
told["parts"] = text(chat(messages=[{"role": "user", "content": [{"type": "text", "text": "Where?"}]}]))
told["stopped"] = text(chat("Count.", stop=["four five", "seven"]))
cut = chat("Count.", max_tokens=3)
told["cut"] = [cut.choices[0].finish_reason, cut.usage.completion_tokens]
told["seeds"] = [text(chat("Count.", temperature=1.5, seed=seed)) for seed in (7, 7, 8)]
told["narrow"] = text(chat("Count.", temperature=2, top_p=0.01))
told["logprobs"] = [
    [one.logprob > -0.5, len(one.top_logprobs)]
    for one in chat(logprobs=True, top_logprobs=3).choices[0].logprobs.content
]
completion = client.completions.create(model=MODEL, prompt="user: Where?<|end|>assistant: ", temperature=0)
told["completion"], told["completion_object"] = completion.choices[0].text, completion.object
parts = client.completions.create(
    model=MODEL, prompt="user: Where?<|end|>assistant: ", temperature=0, stream=True, max_tokens=30
)
told["completion_streamed"] = "".join(part.choices[0].text for part in parts)
with concurrent.futures.ThreadPoolExecutor(12) as pool:
    told["twelve"] = [text(answer) for answer in pool.map(chat, [*known] * 3)]
told["models"] = [one.id for one in client.models.list()]
first = [{"role": "assistant", "content": "Hello"}]
picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
told["refused"] = {
    "unknown": refused(lambda: client.chat.completions.create(model="nobody", messages=first)),
    "template": refused(lambda: chat(messages=first)),
    "picture": refused(lambda: chat(messages=picture)),
    "long": refused(lambda: chat("word " * 300)),
    "long prompt": refused(lambda: client.completions.create(model=MODEL, prompt="word " * 300)),
    "empty prompt": refused(lambda: client.completions.create(model=MODEL, prompt="")),
    "two": refused(lambda: chat(n=2)),
    "none": refused(lambda: chat(n=0)),
    "cold": refused(lambda: chat(temperature=-1)),
    "no tokens": refused(lambda: chat(max_tokens=0)),
    "json": refused(lambda: chat(response_format={"type": "json_object"})),
    "tools": refused(lambda: chat(tools=[{"type": "function", "function": {"name": "f"}}])),
    "bias": refused(lambda: chat(logit_bias={"400": 1})),
}
told["after"] = text(chat())
print(json.dumps(told))
