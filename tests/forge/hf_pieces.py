# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy", "msgspec"]
# ///
"""The generator over the tiny GPT-2 in the folder `artifact`: its pieces are the whole text, and it can be left."""

import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from transformers import AutoModelForCausalLM, AutoTokenizer

from inferry.runtimes.generation import TextGenerator

tokenizer = AutoTokenizer.from_pretrained("artifact")
tokenizer.pad_token = tokenizer.eos_token
model = AutoModelForCausalLM.from_pretrained("artifact")
generator = TextGenerator(model, tokenizer)

made = tokenizer("Grüße", return_tensors="pt")
whole = tokenizer.decode(model.generate(**made)[0, made["input_ids"].shape[1] :], skip_special_tokens=True)
pieces = list(generator.pieces("Grüße"))
assert len(pieces) > 5, pieces
assert "".join(pieces) == whole, (pieces, whole)
assert not any("\ufffd" in piece for piece in pieces), pieces
assert "🙂" in whole

short = "".join(generator.pieces("Grüße", max_new_tokens=3))
assert whole.startswith(short), (short, whole)
assert len(short) < len(whole)

threads = threading.active_count()
listening = generator.pieces("Grüße")
assert next(listening) == pieces[0]
listening.close()
assert threading.active_count() == threads

model.generation_config.max_new_tokens = None
assert TextGenerator(model, tokenizer).most == 128
model.generation_config.max_new_tokens = 100_000
assert TextGenerator(model, tokenizer).most == 1024
