# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy", "msgspec"]
# ///
"""The writer over the tiny Llama in the folder `artifact`: lines in a batch say what each says alone, and may be left."""

import functools
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from transformers import AutoModelForCausalLM, AutoTokenizer

from inferry.runtimes import decoder
from inferry.runtimes.causal import Writer

decoder.PIECE = 16  # so that prompts are read in pieces, between the steps of others
tokenizer = AutoTokenizer.from_pretrained("artifact")
model = AutoModelForCausalLM.from_pretrained("artifact").eval()
said = json.loads(Path("said.json").read_text())
calls = []


def counted(forward):
    @functools.wraps(forward)
    def call(**given):
        calls.append(given["input_ids"].shape)
        return forward(**given)

    return call


model.forward = counted(model.forward)
writer = Writer(model, tokenizer, {"slots": 4})
assert writer.batch == 4


class Asker:
    def __init__(self, leave=0):
        self.parts, self.leave, self.told, self.times = bool(leave), leave, [], []

    def waits(self):
        return True

    def say(self, part):
        self.told.append(part)
        return len(self.told) < self.leave


def ask(question, asker=None, **more):
    messages = [{"role": "user", "content": question}]
    answer = writer.respond({"messages": messages, "temperature": 0} | more, asker or Asker()).whole
    return answer, time.monotonic()


calls.clear()
with ThreadPoolExecutor(8) as pool:
    answers = list(pool.map(ask, [*said] * 2))
for question, (answer, _) in zip([*said] * 2, answers, strict=True):
    usage = {key: answer["usage"][key] for key in ("prompt_tokens", "completion_tokens")}
    assert {"answer": answer["choices"][0]["message"]["content"], **usage} == said[question], answer
assert max(rows for rows, _ in calls) == 4
assert max(tokens for _, tokens in calls) == 16
together = len(calls)
calls.clear()
for question in [*said] * 2:
    ask(question)
assert len(calls) > 1.5 * together, (len(calls), together)

with ThreadPoolExecutor(2) as pool:
    long, short = pool.submit(ask, "Count."), pool.submit(ask, "Where?")
    assert short.result()[1] < long.result()[1]

left = Asker(leave=3)
answer, _ = ask("Count.", left)
assert (answer, len(left.told)) == (None, 3)
time.sleep(0.5)
calls.clear()
time.sleep(0.5)
assert not calls  # its line left the batch: nothing is computed for nobody
assert ask("Where?")[0]["choices"][0]["message"]["content"] == said["Where?"]["answer"]
os._exit(0)  # as all that serve it end: Python's own end would tear the decoder's thread out of torch
