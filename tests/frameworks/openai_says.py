"""What the real openai client gets, as one JSON document: run in an environment that has it. URL KEY MODEL EMBEDDER"""

import concurrent.futures
import json
import sys
import time

import openai

URL, KEY, MODEL, EMBEDDER = sys.argv[1:]
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
FRANCE = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "The capital of France is"},
]
said = {}


def chat(**options):
    return client.chat.completions.create(
        model=MODEL, messages=FRANCE, **({"temperature": 0, "max_tokens": 16} | options)
    )


def joined(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def refused(ask):
    try:
        ask()
    except openai.APIStatusError as error:
        return type(error).__name__, error.status_code, error.code, error.param
    return "answered"


whole = chat()
said["whole"] = whole.choices[0].message.content
said["finish"] = whole.choices[0].finish_reason
said["model"], said["object"] = whole.model, whole.object
said["usage"] = whole.usage.model_dump(exclude_none=True)
chunks = list(chat(stream=True, stream_options={"include_usage": True}))
said["streamed"] = joined(chunks)
said["stream_usage"] = chunks[-1].usage.model_dump(exclude_none=True)
said["chunks"] = len(chunks)
said["without_usage"] = [chunk.usage for chunk in chat(stream=True) if chunk.usage is not None]
said["stopped"] = chat(stop=["Paris"]).choices[0].message.content
said["cut"] = chat(max_completion_tokens=2, max_tokens=None).choices[0].finish_reason
said["seeds"] = [chat(temperature=1, seed=seed).choices[0].message.content for seed in (7, 7)]
schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
shaped = chat(max_tokens=40, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
said["shaped"] = json.loads(shaped.choices[0].message.content)
said["logprobs"] = len(chat(logprobs=True, max_tokens=3).choices[0].logprobs.content)
said["completion"] = (
    client.completions.create(model=MODEL, prompt="1, 2, 3, 4,", temperature=0, max_tokens=6).choices[0].text
)
said["completion_streamed"] = "".join(
    chunk.choices[0].text
    for chunk in client.completions.create(model=MODEL, prompt="1, 2, 3, 4,", temperature=0, max_tokens=6, stream=True)
)

ENDLESS = {"0": -100, "2": -100}  # it never says that it is done: the four take seconds, whenever each is sent
first = {}


def timed(number):
    begun = time.monotonic()
    text = ""
    for chunk in chat(stream=True, max_tokens=120, logit_bias=ENDLESS):
        text += chunk.choices[0].delta.content or ""
        first.setdefault(number, time.monotonic())
    return text, begun, time.monotonic()


with concurrent.futures.ThreadPoolExecutor(4) as pool:
    four = list(pool.map(timed, range(4)))
said["four"] = [text for text, _, _ in four]
said["overlap"] = max(first.values()) < min(end for _, _, end in four)

said["embedded"] = [
    [len(one.embedding), one.embedding[0]] for one in client.embeddings.create(model=EMBEDDER, input=["ab", "c"]).data
]
said["embedded_floats"] = (
    client.embeddings.create(model=EMBEDDER, input="abc", encoding_format="float").data[0].embedding
)
said["models"] = sorted(one.id for one in client.models.list())
said["one_model"] = client.models.retrieve(MODEL).id
said["unknown"] = refused(lambda: client.chat.completions.create(model="nobody", messages=FRANCE))
said["no_chat"] = refused(lambda: client.chat.completions.create(model=EMBEDDER, messages=FRANCE))
said["no_embedding"] = refused(lambda: client.embeddings.create(model=MODEL, input="a"))
said["two"] = refused(lambda: chat(n=2))
LONG = [{"role": "user", "content": "word " * 9000}]
said["long"] = refused(lambda: client.chat.completions.create(model=MODEL, messages=LONG))
stranger = openai.OpenAI(base_url=URL + "/v1", api_key="wrong", max_retries=0)
said["wrong_key"] = refused(lambda: stranger.chat.completions.create(model=MODEL, messages=FRANCE))
print(json.dumps(said))
